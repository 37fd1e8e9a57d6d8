package main

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/seed-93fed273/mmap"
)

// metric is one figure of mmap.Stats under its conventional name.
type metric struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	value func(*mmap.Stats) float64
}

// number is what the figures of mmap.Stats are.
type number interface{ ~int | ~int64 | ~uint64 }

// gauge describes a figure that goes up and down.
func gauge[N number](name, help string, field func(*mmap.Stats) N) metric {
	return metric{
		prometheus.NewDesc("mmap_"+name, help, nil, nil), prometheus.GaugeValue,
		func(s *mmap.Stats) float64 { return float64(field(s)) },
	}
}

// counter describes a figure that only grows.
func counter(name, help string, field func(*mmap.Stats) uint64) metric {
	return metric{
		prometheus.NewDesc("mmap_"+name+"_total", help, nil, nil), prometheus.CounterValue,
		func(s *mmap.Stats) float64 { return float64(field(s)) },
	}
}

// faults describes the faults of one cause.
func faults(cause string, field func(*mmap.Stats) uint64) metric {
	return metric{
		prometheus.NewDesc("mmap_faults_total", "Faults that were returned as errors, by cause.", nil, prometheus.Labels{"cause": cause}),
		prometheus.CounterValue,
		func(s *mmap.Stats) float64 { return float64(field(s)) },
	}
}

// metrics are all figures that there are.
var metrics = []metric{
	gauge("regions_open", "Regions that are open.", func(s *mmap.Stats) int { return s.Open }),
	gauge("regions_mapped", "Open Regions that are mapped now.", func(s *mmap.Stats) int { return s.Mapped }),
	gauge("regions_by_descriptor", "Open Regions that are never mapped.", func(s *mmap.Stats) int { return s.ByDescriptor }),

	gauge("mapped_bytes", "Address space in use, which is not memory.", func(s *mmap.Stats) uint64 { return s.MappedBytes }),
	gauge("vmas", "Entries of the system's table of mappings in use.", func(s *mmap.Stats) int { return s.VMAs }),
	gauge("vmas_limit", "Entries that the library uses at most; from there on new Regions stay unmapped.", func(s *mmap.Stats) int { return s.VMALimit }),
	gauge("system_vmas_limit", "Entries that the system allows the process.", func(s *mmap.Stats) int { return s.SystemVMAs }),
	gauge("unreclaimed_ranges", "Revoked ranges that wait for the garbage collector.", func(s *mmap.Stats) int { return s.UnreclaimedRanges }),
	gauge("unreclaimed_bytes", "Address space of the revoked ranges that wait for the garbage collector.", func(s *mmap.Stats) uint64 { return s.UnreclaimedBytes }),
	gauge("quarantined_ranges", "Closed ranges that are kept so that stale slices fault.", func(s *mmap.Stats) int { return s.QuarantinedRanges }),
	gauge("quarantined_bytes", "Address space of the closed ranges that are kept.", func(s *mmap.Stats) uint64 { return s.QuarantinedBytes }),
	gauge("handed_out_ranges", "Ranges handed out as slices or pointers and not closed.", func(s *mmap.Stats) int { return s.HandedOutRanges }),
	gauge("resident_bytes", "Bytes of files in the process's memory through reads and writes.", func(s *mmap.Stats) int64 { return s.ResidentBytes }),
	gauge("resident_limit_bytes", "What SetResidentLimit allows.", func(s *mmap.Stats) int64 { return s.ResidentLimit }),
	gauge("handed_out_bytes", "Address space of the ranges handed out and not closed.", func(s *mmap.Stats) uint64 { return s.HandedOutBytes }),

	counter("mappings_made", "Mappings that were made.", func(s *mmap.Stats) uint64 { return s.MappingsMade }),
	counter("mappings_failed", "Mappings that were refused or failed.", func(s *mmap.Stats) uint64 { return s.MappingsFailed }),
	counter("forced_collections", "Garbage collections forced for want of address space.", func(s *mmap.Stats) uint64 { return s.Collections }),

	counter("descriptor_reads", "Reads that went by the descriptor.", func(s *mmap.Stats) uint64 { return s.DescriptorReads }),
	counter("descriptor_read_bytes", "Bytes read by the descriptor.", func(s *mmap.Stats) uint64 { return s.DescriptorReadBytes }),
	counter("descriptor_writes", "Writes that went by the descriptor.", func(s *mmap.Stats) uint64 { return s.DescriptorWrites }),
	counter("descriptor_written_bytes", "Bytes written by the descriptor.", func(s *mmap.Stats) uint64 { return s.DescriptorWrittenBytes }),

	faults("cut", func(s *mmap.Stats) uint64 { return s.FaultsCut }),
	faults("closed", func(s *mmap.Stats) uint64 { return s.FaultsClosed }),
	faults("protection", func(s *mmap.Stats) uint64 { return s.FaultsProtection }),
	faults("no_space", func(s *mmap.Stats) uint64 { return s.FaultsNoSpace }),
	faults("io", func(s *mmap.Stats) uint64 { return s.FaultsIO }),
	faults("unknown", func(s *mmap.Stats) uint64 { return s.FaultsUnknown }),
	counter("faults_served", "Faults of reads and writes that the descriptor served instead.", func(s *mmap.Stats) uint64 { return s.FaultsServed }),

	counter("evicted_pages", "Pages found to have left the page cache.", func(s *mmap.Stats) uint64 { return s.EvictedPages }),
	counter("failed_flushes", "Regions with a Flush that failed for good: each has lost data.", func(s *mmap.Stats) uint64 { return s.FailedFlushes }),
}

// collector is a prometheus.Collector of what the library does in this process.
// Each scrape reads the figures once.
type collector struct{ read func() mmap.Stats }

var _ prometheus.Collector = collector{}

// newCollector returns a collector of mmap.ReadStats.
func newCollector() prometheus.Collector { return collector{mmap.ReadStats} }

// Describe implements prometheus.Collector.
func (c collector) Describe(ch chan<- *prometheus.Desc) {
	for _, m := range metrics {
		ch <- m.desc
	}
}

// Collect implements prometheus.Collector.
func (c collector) Collect(ch chan<- prometheus.Metric) {
	s := c.read()
	for _, m := range metrics {
		ch <- prometheus.MustNewConstMetric(m.desc, m.kind, m.value(&s))
	}
}
