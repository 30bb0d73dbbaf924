package broker

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/minio/highwayhash"

	"karaula/internal/problem"
)

// Names in the store of nats-server 2.15 (server/filestore.go): a stream and each
// of its consumers have a file that says how they are set up, and beside it that
// file's HighwayHash-64, in hexadecimal, keyed with SHA-256 of the name.
const (
	metaFile     = "meta.inf"
	metaSum      = "meta.sum"
	streamsDir   = "streams"
	consumersDir = "obs"
)

// dropDamagedMeta takes away the files that say how a stream or a consumer is set
// up, where they do not hold what was written. Nothing is lost by it: the keeper
// sets both up again from the agreements, over the messages that are there. Left
// alone, the server would do without the stream at every start, or, where the
// damaged one still can be read, have the stream stand still.
//
// It is for a store in which no server runs. Errors are those of the file system.
func dropDamagedMeta(store string, log *slog.Logger) error {
	streams, err := filepath.Glob(filepath.Join(store, "jetstream", "*", streamsDir, "*"))
	if err != nil {
		return err
	}
	for _, dir := range streams {
		stream := filepath.Base(dir)
		if err := dropMeta(dir, stream, log); err != nil {
			return err
		}
		consumers, err := filepath.Glob(filepath.Join(dir, consumersDir, "*"))
		if err != nil {
			return err
		}
		for _, c := range consumers {
			if err := dropMeta(c, stream+"/"+filepath.Base(c), log); err != nil {
				return err
			}
		}
	}
	return nil
}

// dropMeta takes the two files of one stream or consumer away, if they are damaged.
func dropMeta(dir, name string, log *slog.Logger) error {
	file := filepath.Join(dir, metaFile)
	whole, err := wholeMeta(file, filepath.Join(dir, metaSum), name)
	if err == nil && !whole {
		log.Warn("damaged, and made again from the agreements", "file", file)
		err = errors.Join(remove(file), remove(filepath.Join(dir, metaSum)))
	}
	if err != nil {
		return problem.Wrap(problem.Failed, err, "the broker's store cannot be looked at; the broker was not started").
			WithHint("check the disk and the rights of %s", dir)
	}
	return nil
}

// wholeMeta reports whether a file holds what its checksum says. Two files that
// are both not there are whole: the server has not come to write them.
func wholeMeta(file, sumFile, name string) (bool, error) {
	meta, err := os.ReadFile(filepath.Clean(file))
	sum, sumErr := os.ReadFile(filepath.Clean(sumFile))
	noMeta, noSum := errors.Is(err, fs.ErrNotExist), errors.Is(sumErr, fs.ErrNotExist)
	switch {
	case noMeta && noSum:
		return true, nil
	case noMeta || noSum:
		return false, nil
	case err != nil || sumErr != nil:
		return false, errors.Join(err, sumErr)
	}
	key := sha256.Sum256([]byte(name))
	h, err := highwayhash.NewDigest64(key[:])
	if err != nil {
		return false, err
	}
	_, err = h.Write(meta)
	return hex.EncodeToString(h.Sum(nil)) == string(sum), err
}

// remove removes a file that may not be there.
func remove(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
