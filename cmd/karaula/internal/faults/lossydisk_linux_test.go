package faults

import (
	"context"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	fusefs "github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// lossyDisk is a file system in memory, mounted by FUSE, that knows what would be
// left of it if the power failed, in the way of LazyFS (Ramos et al., VLDB 2024) and
// ALICE (Pillai et al., OSDI 2014).
//
// What it promises of the broker's files is what ext4 (data=ordered) and XFS promise:
//
//   - The content of a file outlives the power once fsync or fdatasync of that file
//     has come back, or a write to it if it is open with O_SYNC or O_DSYNC. Of what
//     was written since, nothing survives, or blocks of it at random: also in the
//     middle of a file, also with a size that fits to neither.
//   - Changes of names (create, link, rename, remove) are kept in the order in which
//     they were made, as a journal keeps them. They outlive the power once their
//     folder, or the file that they name, is synced after them, and with them all
//     that were made before: fsync forces the log up to the last change of the inode
//     (fsync(2); Linux, Documentation/filesystems/ext4/journal.rst, and xfs_file_fsync).
//     Of later ones, none survives, or the first few.
//   - A new file whose name survives and whose content was never synced is empty.
//
// That is harsher than ext4, whose sync of any file commits the changes of all names.
// Of the gateway's files it promises what POSIX does, and no more: a name is durable
// once its folder is synced, and there is no order. nats-server needs more: it syncs a
// new message file, and not the folder.
//
// Permissions and times of files are kept at once: nothing here depends on them.
type lossyDisk struct {
	mu   sync.Mutex
	root *lossyNode
	// The machine of the broker and that of the gateway can fail apart.
	gateway, broker *volume
}

// volume is what loses its power at once: of a node's folder, what the broker has,
// or all the rest.
type volume struct {
	strict  bool     // no name is durable but by a sync of its folder
	pending []rename // changes of names that are not durable, the oldest first
}

// rename is a change of names.
type rename struct {
	child   *lossyNode   // what is named
	folders []*lossyNode // in which
	apply   func()
}

// lossyNode is a file, a folder or a socket.
type lossyNode struct {
	fusefs.Inode

	d     *lossyDisk
	v     *volume
	mode  uint32
	mtime time.Time
	// Of a file: what was written, what of it is durable, and where they may differ.
	data, kept []byte
	from, to   int
	// Of a folder: the names that are durable. All are children of the inode.
	names map[string]*lossyNode
}

// forever is behind every byte of a file.
const forever = 1 << 62

// opened is an open file, of which every write is durable when it comes back if synced.
type opened struct{ synced bool }

func opens(flags uint32) *opened { return &opened{synced: flags&(syscall.O_SYNC|syscall.O_DSYNC) != 0} }

// mountLossy moves what is in a folder to a lossy disk, all of it durable, and mounts
// the disk there.
func mountLossy(dir string) (*lossyDisk, error) {
	d := &lossyDisk{gateway: &volume{strict: true}, broker: &volume{}}
	d.root = d.node(syscall.S_IFDIR|0o700, d.gateway)
	aside := dir + ".aside"
	if err := os.Rename(dir, aside); err != nil {
		return nil, err
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	nodes := map[string]*lossyNode{aside: d.root}
	err := filepath.WalkDir(aside, func(path string, e fs.DirEntry, err error) error {
		if err != nil || path == aside {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		parent, mode := nodes[filepath.Dir(path)], uint32(info.Mode().Perm())
		n := d.node(syscall.S_IFDIR|mode, d.volume(parent, e.Name()))
		if !e.IsDir() {
			n = d.node(syscall.S_IFREG|mode, n.v)
			if n.kept, err = os.ReadFile(path); err != nil {
				return err
			}
		}
		nodes[path], parent.names[e.Name()] = n, n
		return nil
	})
	if err != nil {
		return nil, err
	}
	if _, err = fusefs.Mount(dir, d.root, &fusefs.Options{
		MountOptions: fuse.MountOptions{DirectMountStrict: true, FsName: "lossy", Name: "lossy"},
	}); err != nil {
		return nil, err
	}
	d.powerCut(nil, d.gateway, d.broker)
	return d, nil
}

func (d *lossyDisk) node(mode uint32, v *volume) *lossyNode {
	return &lossyNode{d: d, v: v, mode: mode, mtime: time.Now(), names: map[string]*lossyNode{}}
}

// volume says where something new lies.
func (d *lossyDisk) volume(parent *lossyNode, name string) *volume {
	if parent == d.root && name == "broker" {
		return d.broker
	}
	return parent.v
}

// powerCut takes from volumes whatever is not durable. With random numbers, part of
// it survives. Nothing may run on them.
func (d *lossyDisk) powerCut(rng *rand.Rand, volumes ...*volume) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, v := range volumes {
		if rng != nil {
			n := rng.IntN(len(v.pending) + 1)
			for i, c := range v.pending {
				if i < n && !v.strict || v.strict && rng.IntN(2) == 0 {
					c.apply()
				}
			}
		}
		v.pending = nil
	}
	unit := 0
	if rng != nil {
		unit = []int{512, 4096}[rng.IntN(2)]
	}
	cut := func(name string) bool { return slices.Contains(volumes, d.volume(d.root, name)) }
	for name := range d.root.Children() {
		if cut(name) {
			d.root.RmChild(name)
		}
	}
	again := map[*lossyNode]*lossyNode{}
	for _, name := range slices.Sorted(maps.Keys(d.root.names)) {
		if cut(name) {
			d.root.keep(name, d.root.names[name].survivor(rng, unit, again))
		}
	}
}

// keep enters a name that is durable.
func (n *lossyNode) keep(name string, child *lossyNode) {
	n.names[name] = child
	n.AddChild(name, &child.Inode, true)
}

// survivor gives what is left of a file, or of a folder and all in it.
func (n *lossyNode) survivor(rng *rand.Rand, unit int, again map[*lossyNode]*lossyNode) *lossyNode {
	if s := again[n]; s != nil {
		return s // two names of one file
	}
	s := n.d.node(n.mode, n.v)
	again[n] = s
	n.d.root.NewPersistentInode(context.Background(), s, fusefs.StableAttr{Mode: n.mode & syscall.S_IFMT})
	s.kept = n.kept
	if rng != nil {
		s.kept = n.torn(rng, unit)
	}
	s.data = slices.Clone(s.kept)
	for _, name := range slices.Sorted(maps.Keys(n.names)) {
		s.keep(name, n.names[name].survivor(rng, unit, again))
	}
	return s
}

// torn gives a file's content of which some units were written, and some were not.
func (n *lossyNode) torn(rng *rand.Rand, unit int) []byte {
	if n.from >= n.to {
		return n.kept
	}
	short, long := min(len(n.kept), len(n.data)), max(len(n.kept), len(n.data))
	out := make([]byte, []int{len(n.kept), len(n.data), short + rng.IntN(long-short+1)}[rng.IntN(3)])
	copy(out, n.kept)
	for at := 0; at < min(len(out), len(n.data)); at += unit {
		if rng.IntN(2) == 0 {
			copy(out[at:], n.data[at:min(at+unit, len(n.data))])
		}
	}
	return out
}

// written notes that bytes of a file were changed.
func (n *lossyNode) written(from, to int) {
	if n.from >= n.to {
		n.from, n.to = from, to
	}
	n.from, n.to, n.mtime = min(n.from, from), max(n.to, to), time.Now()
}

// resize cuts a file off, or adds zeros.
func (n *lossyNode) resize(size int) {
	n.written(min(size, len(n.data)), forever)
	n.data = resized(n.data, size)
}

func resized(data []byte, size int) []byte {
	if size <= len(data) {
		return data[:size]
	}
	return append(data, make([]byte, size-len(data))...)
}

// sync makes content and names durable.
func (n *lossyNode) sync() {
	if n.from < n.to {
		n.kept = resized(n.kept, len(n.data))
		if n.from < len(n.data) {
			copy(n.kept[n.from:], n.data[n.from:min(n.to, len(n.data))])
		}
		n.from, n.to = 0, 0
	}
	n.syncNames()
}

// syncNames makes changes of names durable: those up to the last one that touches this,
// or where nothing more is promised, those in this folder.
func (n *lossyNode) syncNames() {
	if n.v.strict {
		n.v.pending = slices.DeleteFunc(n.v.pending, func(c rename) bool {
			mine := slices.Contains(c.folders, n)
			if mine {
				c.apply()
			}
			return mine
		})
		return
	}
	last := 0
	for i, c := range n.v.pending {
		if c.child == n || slices.Contains(c.folders, n) {
			last = i + 1
		}
	}
	for _, c := range n.v.pending[:last] {
		c.apply()
	}
	n.v.pending = n.v.pending[last:]
}

// change notes a change of names that is not durable yet.
func (n *lossyNode) change(child *lossyNode, apply func(), folders ...*lossyNode) {
	n.mtime = time.Now()
	child.v.pending = append(child.v.pending, rename{child: child, folders: append(folders, n), apply: apply})
}

// child gives what has a name in a folder.
func (n *lossyNode) child(name string) *lossyNode {
	if c := n.GetChild(name); c != nil {
		return c.Operations().(*lossyNode) //nolint:forcetypeassert // there are no others
	}
	return nil
}

// add makes something new in a folder.
func (n *lossyNode) add(ctx context.Context, name string, mode uint32, out *fuse.EntryOut) *fusefs.Inode {
	c := n.d.node(mode, n.d.volume(n, name))
	n.change(c, func() { n.names[name] = c })
	c.attr(&out.Attr)
	return n.NewPersistentInode(ctx, c, fusefs.StableAttr{Mode: mode & syscall.S_IFMT})
}

func (n *lossyNode) attr(out *fuse.Attr) {
	out.Mode, out.Size, out.Nlink = n.mode, uint64(len(n.data)), 1
	out.Blocks = (out.Size + 511) / 512
	out.SetTimes(&n.mtime, &n.mtime, &n.mtime)
}

// lock takes the disk for one call.
func (n *lossyNode) lock() (unlock func()) {
	n.d.mu.Lock()
	return n.d.mu.Unlock
}

// What follows are the calls of the kernel.

// Lookup waits while the power fails: officers do not find half of a folder.
func (n *lossyNode) Lookup(_ context.Context, name string, out *fuse.EntryOut) (*fusefs.Inode, syscall.Errno) {
	defer n.lock()()
	c := n.child(name)
	if c == nil {
		return nil, syscall.ENOENT
	}
	c.attr(&out.Attr)
	return &c.Inode, 0
}

func (n *lossyNode) Getattr(_ context.Context, _ fusefs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	defer n.lock()()
	n.attr(&out.Attr)
	return 0
}

func (n *lossyNode) Setattr(
	_ context.Context, _ fusefs.FileHandle, in *fuse.SetAttrIn, out *fuse.AttrOut,
) syscall.Errno {
	defer n.lock()()
	if size, ok := in.GetSize(); ok {
		n.resize(int(size)) //nolint:gosec // of files in memory
	}
	if mode, ok := in.GetMode(); ok {
		n.mode = n.mode&syscall.S_IFMT | mode&^syscall.S_IFMT
	}
	if at, ok := in.GetMTime(); ok {
		n.mtime = at
	}
	n.attr(&out.Attr)
	return 0
}

// Statfs says that there is room.
func (n *lossyNode) Statfs(_ context.Context, out *fuse.StatfsOut) syscall.Errno {
	out.Bsize, out.Frsize, out.NameLen = 4096, 4096, 255
	out.Blocks, out.Bfree, out.Bavail = 1<<24, 1<<24, 1<<24
	out.Files, out.Ffree = 1<<20, 1<<20
	return 0
}

func (n *lossyNode) Open(_ context.Context, flags uint32) (fusefs.FileHandle, uint32, syscall.Errno) {
	defer n.lock()()
	if flags&syscall.O_TRUNC != 0 {
		n.resize(0)
	}
	return opens(flags), 0, 0
}

func (n *lossyNode) Create(
	ctx context.Context, name string, flags, mode uint32, out *fuse.EntryOut,
) (*fusefs.Inode, fusefs.FileHandle, uint32, syscall.Errno) {
	defer n.lock()()
	return n.add(ctx, name, syscall.S_IFREG|mode&^syscall.S_IFMT, out), opens(flags), 0, 0
}

func (n *lossyNode) Mkdir(
	ctx context.Context, name string, mode uint32, out *fuse.EntryOut,
) (*fusefs.Inode, syscall.Errno) {
	defer n.lock()()
	return n.add(ctx, name, syscall.S_IFDIR|mode&^syscall.S_IFMT, out), 0
}

func (n *lossyNode) Mknod(
	ctx context.Context, name string, mode, _ uint32, out *fuse.EntryOut,
) (*fusefs.Inode, syscall.Errno) {
	defer n.lock()()
	return n.add(ctx, name, mode, out), 0
}

func (n *lossyNode) Link(
	_ context.Context, target fusefs.InodeEmbedder, name string, out *fuse.EntryOut,
) (*fusefs.Inode, syscall.Errno) {
	defer n.lock()()
	c := target.(*lossyNode) //nolint:forcetypeassert // there are no others
	n.change(c, func() { n.names[name] = c })
	c.attr(&out.Attr)
	return &c.Inode, 0
}

func (n *lossyNode) Unlink(_ context.Context, name string) syscall.Errno {
	defer n.lock()()
	if c := n.child(name); c != nil {
		n.change(c, func() { delete(n.names, name) })
	}
	return 0
}

func (n *lossyNode) Rmdir(ctx context.Context, name string) syscall.Errno {
	if c := n.child(name); c != nil && len(c.Children()) > 0 {
		return syscall.ENOTEMPTY
	}
	return n.Unlink(ctx, name)
}

func (n *lossyNode) Rename(
	_ context.Context, name string, parent fusefs.InodeEmbedder, as string, flags uint32,
) syscall.Errno {
	defer n.lock()()
	to, c := parent.(*lossyNode), n.child(name) //nolint:forcetypeassert // there are no others
	over := to.child(as)
	switch {
	case flags != 0:
		return syscall.EINVAL // neither exchanged nor only where nothing is
	case c == nil:
		return syscall.ENOENT
	case n.d.volume(to, as) != c.v:
		return syscall.EXDEV
	case over != nil && len(over.Children()) > 0:
		return syscall.ENOTEMPTY
	}
	n.change(c, func() {
		delete(n.names, name)
		to.names[as] = c
	}, to)
	return 0
}

func (n *lossyNode) Read(
	_ context.Context, _ fusefs.FileHandle, dest []byte, off int64,
) (fuse.ReadResult, syscall.Errno) {
	defer n.lock()()
	from := min(int(off), len(n.data))
	return fuse.ReadResultData(dest[:copy(dest, n.data[from:])]), 0
}

func (n *lossyNode) Write(
	_ context.Context, f fusefs.FileHandle, data []byte, off int64,
) (uint32, syscall.Errno) {
	defer n.lock()()
	from, to := int(off), int(off)+len(data)
	n.written(min(from, len(n.data)), to)
	n.data = resized(n.data, max(to, len(n.data)))
	copy(n.data[from:], data)
	if o, ok := f.(*opened); ok && o.synced {
		n.sync()
	}
	return uint32(len(data)), 0 //nolint:gosec // one write
}

func (n *lossyNode) Fsync(context.Context, fusefs.FileHandle, uint32) syscall.Errno {
	defer n.lock()()
	n.sync()
	return 0
}
