package programs

import (
	"io"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// MakeArrow writes an Arrow file of so many rows and three columns of numbers
// to w, and returns the sum of the last.
func MakeArrow(w io.Writer, rows int) (sum float64, err error) {
	number := arrow.PrimitiveTypes.Float64
	schema := arrow.NewSchema([]arrow.Field{
		{Name: "x", Type: number}, {Name: "y", Type: number}, {Name: "z", Type: number},
	}, nil)
	f, err := ipc.NewFileWriter(w, ipc.WithSchema(schema))
	if err != nil {
		return 0, err
	}
	rng := newRand(8, 8)
	values := make([]float64, 1<<16)
	for rows > 0 {
		values = values[:min(len(values), rows)]
		for i := range values {
			values[i] = float64(rng.IntN(100_000))
			sum += values[i]
		}
		if err := writeBatch(f, schema, values); err != nil {
			return 0, err
		}
		rows -= len(values)
	}
	return sum, f.Close()
}

// writeBatch writes a batch of which all columns have these values.
func writeBatch(f *ipc.FileWriter, schema *arrow.Schema, values []float64) error {
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer b.Release()
	for i := range schema.NumFields() {
		b.Field(i).(*array.Float64Builder).AppendValues(values, nil)
	}
	r := b.NewRecordBatch()
	defer r.Release()
	return f.Write(r)
}

// ScanArrow sums the last column of the file: in place where s shows its bytes,
// else through the reader that copies.
func ScanArrow(s Source) (sum float64, err error) {
	v, ok := s.(Viewer)
	if !ok {
		r, err := ipc.NewFileReader(io.NewSectionReader(s, 0, s.Size()))
		if err != nil {
			return 0, err
		}
		return sumBatches(r)
	}
	err = v.View(0, s.Size(), func(b []byte) error {
		r, err := ipc.NewMappedFileReader(b)
		if err != nil {
			return err
		}
		sum, err = sumBatches(r)
		return err
	})
	return sum, err
}

// sumBatches adds up the last column of all batches.
func sumBatches(r *ipc.FileReader) (sum float64, err error) {
	defer r.Close()
	for i := range r.NumRecords() {
		b, err := r.RecordBatchAt(i)
		if err != nil {
			return 0, err
		}
		for _, v := range b.Column(int(b.NumCols()) - 1).(*array.Float64).Float64Values() {
			sum += v
		}
		b.Release()
	}
	return sum, nil
}
