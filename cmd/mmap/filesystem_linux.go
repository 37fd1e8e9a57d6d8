package main

import (
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// fileSystems names file systems by the number that statfs(2) gives.
var fileSystems = map[uint32]string{
	unix.EXT4_SUPER_MAGIC:      "ext4",
	unix.XFS_SUPER_MAGIC:       "xfs",
	unix.BTRFS_SUPER_MAGIC:     "btrfs",
	unix.F2FS_SUPER_MAGIC:      "f2fs",
	unix.TMPFS_MAGIC:           "tmpfs",
	unix.RAMFS_MAGIC:           "ramfs",
	unix.OVERLAYFS_SUPER_MAGIC: "overlayfs",
	unix.FUSE_SUPER_MAGIC:      "FUSE",
	unix.NFS_SUPER_MAGIC:       "NFS",
	unix.SMB_SUPER_MAGIC:       "SMB",
	unix.SMB2_SUPER_MAGIC:      "SMB",
	unix.CIFS_SUPER_MAGIC:      "SMB",
	unix.V9FS_MAGIC:            "9p",
	unix.CEPH_SUPER_MAGIC:      "Ceph",
	unix.ECRYPTFS_SUPER_MAGIC:  "eCryptfs",
	unix.HUGETLBFS_MAGIC:       "hugetlbfs",
	unix.SQUASHFS_MAGIC:        "squashfs",
	unix.EROFS_SUPER_MAGIC_V1:  "erofs",
	unix.ISOFS_SUPER_MAGIC:     "iso9660",
	unix.MSDOS_SUPER_MAGIC:     "FAT",
	0x2fc12fc1:                 "ZFS",
	0x61756673:                 "aufs",
	0x2011bab0:                 "exFAT",
	0x7366746e:                 "NTFS",
	0xca451a4e:                 "bcachefs",
}

// trustworthy are the file systems whose files hold their own pages, so that
// cachestat(2) finds them. Of a stacked one (overlayfs, FUSE that passes
// through) it may count none though the pages are there.
var trustworthy = map[string]bool{"ext4": true, "xfs": true, "btrfs": true, "f2fs": true, "tmpfs": true, "ramfs": true,
	"NFS": true, "SMB": true, "9p": true, "Ceph": true, "squashfs": true, "erofs": true, "iso9660": true, "FAT": true,
	"exFAT": true, "bcachefs": true}

// pseudoFileSystems are those whose files the kernel makes as they are read.
var pseudoFileSystems = map[uint32]string{
	unix.PROC_SUPER_MAGIC:    "proc",
	unix.SYSFS_MAGIC:         "sysfs",
	unix.CGROUP_SUPER_MAGIC:  "cgroup",
	unix.CGROUP2_SUPER_MAGIC: "cgroup2",
	unix.DEBUGFS_MAGIC:       "debugfs",
	unix.TRACEFS_MAGIC:       "tracefs",
	unix.SECURITYFS_MAGIC:    "securityfs",
	unix.SELINUX_MAGIC:       "selinuxfs",
	unix.BPF_FS_MAGIC:        "bpf",
	unix.PSTOREFS_MAGIC:      "pstore",
	unix.EFIVARFS_MAGIC:      "efivarfs",
	unix.BINFMTFS_MAGIC:      "binfmt_misc",
	unix.DEVPTS_SUPER_MAGIC:  "devpts",
	0x62656570:               "configfs",
	0x6e736673:               "nsfs",
}

// fileSystem returns the name of the file system behind a statfs number.
func fileSystem(magic uint32) string {
	if name := fileSystems[magic]; name != "" {
		return name
	}
	if name := pseudoFileSystems[magic]; name != "" {
		return name
	}
	return "type 0x" + strconv.FormatUint(uint64(magic), 16)
}

// magicOf returns the number of the file system that f is on, or 0.
func magicOf(f *os.File) uint32 {
	var st unix.Statfs_t
	if unix.Fstatfs(int(f.Fd()), &st) != nil {
		return 0
	}
	return uint32(st.Type)
}

// trusted reports whether cachestat(2) is to be believed when it counts no page
// of f.
func trusted(f *os.File) bool { return trustworthy[fileSystems[magicOf(f)]] }

// inMemory reports whether f's file system has its files in memory and nowhere
// else, or "".
func inMemory(f *os.File) string {
	switch name := fileSystems[magicOf(f)]; name {
	case "tmpfs", "ramfs", "hugetlbfs":
		return name
	}
	return ""
}

// pseudo returns the name of the file system that name is on if that makes its
// files as they are read, or "".
func pseudo(name string) string {
	var st unix.Statfs_t
	if unix.Statfs(name, &st) != nil {
		return ""
	}
	return pseudoFileSystems[uint32(st.Type)]
}

// direct reports whether the file has no pages in the page cache at all:
// with DAX, memory is the storage itself.
func direct(f *os.File) bool {
	var st unix.Statx_t
	err := unix.Statx(int(f.Fd()), "", unix.AT_EMPTY_PATH, 0, &st)
	return err == nil && st.Attributes_mask&st.Attributes&unix.STATX_ATTR_DAX != 0
}
