package main

// osFuncs are the functions of Go's own os tests in which the files are
// exchanged: tests of what a file does, and what they open it with.
var osFuncs = map[string][]string{
	"os_test.go": {
		"size", "newFile", "checkSize", "touch", "writeFile", "verifyCopyFS", "smallReaddirnames",
		"testReaddirnames", "testReaddir", "testReadDir", "testOpenError", "testDoubleCloseError",
		"testOpenFileKeepsPermissions", "testDirFS", "testDevNullFile",
		"TestFstat", "TestRead0", "TestReadClosed", "TestReaddirnamesOneAtATime", "TestReaddirNValues",
		"TestReaddirOfFile", "TestRename", "TestFileChdir", "TestChdirAndGetwd", "TestOpenNoName", "TestWriteAtInAppendMode",
		"TestFilePermissions", "TestOpenFileCreateExclDanglingSymlink", "TestFileRDWRFlags", "TestStatDirWithTrailingSlash",
		"TestSameFile", "TestStatRelativeSymlink", "TestDirSeek", "TestReaddirSmallSeek", "TestOpenFileKeepsPermissions",
		"TestDirFSRootDir", "TestWriteStringAlloc", "TestFileIOCloseRace", "TestCopyFSWithSymlinks", "TestAppendDoesntOverwrite",
		"TestOpenFileDevNull",
	},
	"os_unix_test.go":        {"TestIssue60181"},
	"read_test.go":           {"TestWriteFile", "TestReadOnlyWriteFile", "TestReadDir"},
	"tempfile_test.go":       {"TestCreateTemp", "TestCreateTempPattern", "TestCreateTempBadPattern"},
	"readfrom_linux_test.go": {"TestProcCopy"},
}

// osEdits are the changes to Go's os package.
func osEdits() (edits []edit) {
	for file, funcs := range osFuncs {
		edits = append(edits, exchange{files: []string{"os/" + file}, funcs: funcs})
	}
	return edits
}
