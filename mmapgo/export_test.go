package mmapgo

// Registered returns how many mappings there are.
func Registered() int {
	live.mu.RLock()
	defer live.mu.RUnlock()
	return len(live.list)
}
