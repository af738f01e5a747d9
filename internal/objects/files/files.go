// Package files keeps objects as files: each is written under another name, synced, and renamed to its own. The file system is
// injected, so that tests can cut its power. Handler serves the URLs that Sign makes. Start with New.
package files

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"sluice/internal/objects"
)

// temporaryFolder has what is being written. No key begins with a dot.
const temporaryFolder = ".writing"

// Config is where objects are, and how URLs are made for them.
type Config struct {
	FS     vfs.FS // nil: vfs.Default
	Folder string // is made when it is not there; one process uses it
	Key    []byte // URLs are signed under; of another process with another key they are no good
	// URL is where the Handler is reached, without a slash at the end; nil: no URL can be signed.
	URL func() string
	Now func() time.Time // nil: time.Now
}

// Store is an objects.Store on a file system.
type Store struct {
	fs     vfs.FS
	folder string
	signer signer
	// folders is held while a file and its folders come or go, so that no folder goes between its making and its first file.
	folders sync.Mutex
}

var _ objects.Store = (*Store)(nil)

// New returns the store of a folder, and removes what was being written when the last process ended. What the disk does not let it
// remove waits for the next start; it is never taken for an object.
func New(cfg Config) *Store {
	s := &Store{fs: cfg.FS, folder: cfg.Folder, signer: newSigner(cfg)}
	if s.fs == nil {
		s.fs = vfs.Default
	}
	_ = s.fs.RemoveAll(s.fs.PathJoin(s.folder, temporaryFolder))
	return s
}

// folderMode of what is made: objects are nobody else's to read.
const folderMode = 0o700

// Put implements objects.Store.
func (s *Store) Put(ctx context.Context, key string, content io.Reader) (octets int64, err error) {
	if err := objects.CheckKey(key); err != nil {
		return 0, err
	}
	temporary := s.fs.PathJoin(s.folder, temporaryFolder, rand.Text())
	if err = s.fs.MkdirAll(s.fs.PathDir(temporary), folderMode); err == nil {
		octets, err = s.write(temporary, &cancelled{ctx, content})
	}
	if err == nil {
		err = s.place(temporary, key)
	}
	if err != nil {
		_ = s.fs.Remove(temporary) // the next New does, if not this
		return 0, fmt.Errorf("put the object %s: %w", key, err)
	}
	return octets, nil
}

// cancelled is a reader that fails once its context has ended.
type cancelled struct {
	ctx context.Context
	r   io.Reader
}

func (c *cancelled) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}

// write writes a file and syncs it.
func (s *Store) write(name string, content io.Reader) (octets int64, err error) {
	file, err := s.fs.Create(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		return 0, err
	}
	if octets, err = io.Copy(file, content); err == nil {
		err = file.Sync()
	}
	return octets, errors.Join(err, file.Close())
}

// place renames a file to that of a key. The name is synced, and so are the folders on the way to it, which may be new.
func (s *Store) place(temporary, key string) error {
	folder := s.fs.PathJoin(s.folder, path.Dir(key))
	if err := s.rename(temporary, key, folder); err != nil {
		return err
	}
	for above := s.fs.PathDir(s.folder); ; folder = s.fs.PathDir(folder) {
		if err := notFound(s.sync(folder)); err != nil && err != objects.ErrNotFound { // gone: the object was deleted meanwhile
			return err
		}
		if folder == above {
			return nil
		}
	}
}

func (s *Store) rename(temporary, key, folder string) error {
	s.folders.Lock()
	defer s.folders.Unlock()
	if err := s.fs.MkdirAll(folder, folderMode); err != nil {
		return err
	}
	return s.fs.Rename(temporary, s.name(key))
}

func (s *Store) sync(folder string) error {
	f, err := s.fs.OpenDir(folder)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

func (s *Store) name(key string) string { return s.fs.PathJoin(s.folder, key) }

// object is an open object, from an offset on.
type object struct {
	*io.SectionReader
	io.Closer
}

// Get implements objects.Store.
func (s *Store) Get(_ context.Context, key string, from int64) (io.ReadCloser, objects.Info, error) {
	if err := objects.CheckKey(key); err != nil {
		return nil, objects.Info{}, err
	}
	file, err := s.fs.Open(s.name(key))
	if err != nil {
		return nil, objects.Info{}, fmt.Errorf("get the object %s: %w", key, notFound(err))
	}
	stat, err := file.Stat()
	if err == nil && stat.IsDir() {
		err = objects.ErrNotFound
	}
	if err != nil {
		return nil, objects.Info{}, errors.Join(fmt.Errorf("get the object %s: %w", key, err), file.Close())
	}
	info := objects.Info{Key: key, Octets: stat.Size(), Modified: stat.ModTime().UTC()}
	from = min(from, info.Octets)
	return object{io.NewSectionReader(file, from, info.Octets-from), file}, info, nil
}

// List implements objects.Store. It reads the folder that the prefix is in.
func (s *Store) List(ctx context.Context, prefix, after string, n int) (found []objects.Info, err error) {
	folder, _ := path.Split(prefix)
	if folder != "" && objects.CheckKey(strings.TrimSuffix(folder, "/")) != nil {
		return nil, objects.ErrKey
	}
	var keys []string
	if err := s.walk(ctx, folder, func(key string) {
		if strings.HasPrefix(key, prefix) && key > after {
			keys = append(keys, key)
		}
	}); err != nil {
		return nil, fmt.Errorf("list the objects %s: %w", prefix, err)
	}
	slices.Sort(keys)
	for _, key := range keys {
		if len(found) == n {
			break
		}
		stat, err := s.fs.Stat(s.name(key))
		if notFound(err) == objects.ErrNotFound {
			continue // deleted meanwhile
		}
		if err != nil {
			return nil, fmt.Errorf("list the objects %s: %w", prefix, err)
		}
		found = append(found, objects.Info{Key: key, Octets: stat.Size(), Modified: stat.ModTime().UTC()})
	}
	return found, nil
}

// walk calls visit with the key of each object below a folder, which is empty or ends with a slash.
func (s *Store) walk(ctx context.Context, folder string, visit func(key string)) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	path := s.name(strings.TrimSuffix(folder, "/"))
	stat, err := s.fs.Stat(path)
	if notFound(err) == objects.ErrNotFound || err == nil && !stat.IsDir() {
		return nil
	}
	if err != nil {
		return err
	}
	names, err := s.fs.List(path)
	if err != nil {
		return err
	}
	for _, name := range names {
		key := folder + name
		if objects.CheckKey(key) != nil {
			continue // what is being written
		}
		stat, err := s.fs.Stat(s.name(key))
		switch {
		case notFound(err) == objects.ErrNotFound:
		case err != nil:
			return err
		case !stat.IsDir():
			visit(key)
		default:
			if err := s.walk(ctx, key+"/", visit); err != nil {
				return err
			}
		}
	}
	return nil
}

// Delete implements objects.Store. The folders that it leaves empty go too.
func (s *Store) Delete(_ context.Context, key string) error {
	if err := objects.CheckKey(key); err != nil {
		return err
	}
	s.folders.Lock()
	defer s.folders.Unlock()
	if err := notFound(s.fs.Remove(s.name(key))); err != nil && err != objects.ErrNotFound {
		return fmt.Errorf("delete the object %s: %w", key, err)
	}
	for folder := path.Dir(key); folder != "."; folder = path.Dir(folder) {
		if names, err := s.fs.List(s.name(folder)); err != nil || len(names) > 0 || s.fs.Remove(s.name(folder)) != nil {
			break // what stays is found empty by a later Delete, and is no object
		}
	}
	return nil
}

func notFound(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return objects.ErrNotFound
	}
	return err
}
