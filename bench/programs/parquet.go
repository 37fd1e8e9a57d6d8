package programs

import (
	"errors"
	"io"

	"github.com/parquet-go/parquet-go"
)

// sale is a row of the Parquet file. A query reads one of its columns.
type sale struct {
	ID       int64   `parquet:"id"`
	Customer int64   `parquet:"customer"`
	Price    float64 `parquet:"price,plain"`
	Weight   float64 `parquet:"weight,plain"`
	Discount float64 `parquet:"discount,plain"`
	Note     string  `parquet:"note,snappy"`
}

const (
	priceColumn = 2
	rowGroup    = 1 << 17
)

// MakeParquet writes a file of so many rows to w, and returns the sum of the
// column that ScanParquet sums.
func MakeParquet(w io.Writer, rows int) (sum float64, err error) {
	rng := newRand(7, 7)
	p := parquet.NewGenericWriter[sale](w, parquet.MaxRowsPerRowGroup(rowGroup), parquet.PageBufferSize(64<<10))
	batch := make([]sale, 4096)
	for rows > 0 {
		b := batch[:min(len(batch), rows)]
		for i := range b {
			note := words[rng.IntN(len(words))] + " " + words[rng.IntN(len(words))]
			price := float64(rng.IntN(100_000)) // whole: any order of adding gives the same
			b[i] = sale{rng.Int64(), rng.Int64N(1000), price, rng.Float64(), rng.Float64(), note}
			sum += price
		}
		if _, err := p.Write(b); err != nil {
			return 0, err
		}
		rows -= len(b)
	}
	return sum, p.Close()
}

// ScanParquet sums a column of the file, one row group a goroutine, n at a time.
func ScanParquet(s Source, n int) (sum float64, err error) {
	f, err := parquet.OpenFile(s, s.Size(), parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
	if err != nil {
		return 0, err
	}
	groups := f.RowGroups()
	sums := make([]float64, n)
	err = workers(n, func(w int) error {
		for i := w; i < len(groups); i += n {
			if err := sumColumn(groups[i].ColumnChunks()[priceColumn], &sums[w]); err != nil {
				return err
			}
		}
		return nil
	})
	for _, part := range sums {
		sum += part
	}
	return sum, err
}

// sumColumn adds up the numbers of a column chunk.
func sumColumn(c parquet.ColumnChunk, sum *float64) error {
	pages := c.Pages()
	defer pages.Close()
	values := make([]float64, 8192)
	for {
		p, err := pages.ReadPage()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		err = sumPage(p, values, sum)
		parquet.Release(p)
		if err != nil {
			return err
		}
	}
}

// sumPage adds up the numbers of a page.
func sumPage(p parquet.Page, values []float64, sum *float64) error {
	r, ok := p.Values().(parquet.DoubleReader)
	if !ok {
		return errors.New("programs: the column has no numbers")
	}
	for {
		n, err := r.ReadDoubles(values)
		for _, v := range values[:n] {
			*sum += v
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
