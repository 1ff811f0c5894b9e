package cli

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"os"
	"slices"
	"sync"
	"time"
)

// watched is something made of files, and made again when one of them changes.
// Connections that are open keep what they began with. Where the new files are no
// good, the old ones hold.
type watched[T any] struct {
	files []string
	make  func() (T, error)
	bad   func(error) // told once for each change that is no good

	mu    sync.Mutex // guards what follows
	stamp []stamp
	value T
}

// stamp tells one version of a file from another.
type stamp struct {
	info os.FileInfo
	time time.Time
	size int64
}

func (s stamp) same(o stamp) bool {
	return s.time.Equal(o.time) && s.size == o.size && os.SameFile(s.info, o.info)
}

// newWatched makes the first value; here an error is the caller's.
func newWatched[T any](make func() (T, error), bad func(error), files ...string) (*watched[T], error) {
	w := &watched[T]{files: files, make: make, bad: bad}
	now, err := w.look()
	if err == nil {
		w.stamp = now
		w.value, err = make()
	}
	return w, err
}

// get is asked for each connection.
func (w *watched[T]) get() T {
	w.mu.Lock()
	defer w.mu.Unlock()
	now, err := w.look()
	if err != nil || slices.EqualFunc(now, w.stamp, stamp.same) {
		return w.value // a file that is missing is on its way
	}
	w.stamp = now
	v, err := w.make()
	if err != nil {
		w.bad(err)
		return w.value
	}
	w.value = v
	return v
}

func (w *watched[T]) look() ([]stamp, error) {
	var all []stamp
	for _, f := range w.files {
		info, err := os.Stat(f)
		if err != nil {
			return nil, certificateFailure(f, err)
		}
		all = append(all, stamp{info, info.ModTime(), info.Size()})
	}
	return all, nil
}

// loadPool reads certificates to check others against.
func loadPool(path string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(path)
	if err != nil {
		return nil, certificateFailure(path, err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, certificateFailure(path, errors.New("there is no PEM certificate in it"))
	}
	return pool, nil
}

// loadPair reads a certificate and its key.
func loadPair(cert, key string) (tls.Certificate, error) {
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return pair, certificateFailure(cert, err)
	}
	return pair, nil
}

func certificateFailure(path string, err error) error {
	e := Fail(CodeCertificate, err.Error(), "a PEM file that this user may read", "cannot use the certificate %s", path)
	e.Err = err
	return e
}

// reread is a TLS configuration that follows its files; empty names are none.
func reread(bad func(error), make func() (*tls.Config, error), files ...string) (func() (*tls.Config, error), error) {
	files = slices.DeleteFunc(files, func(f string) bool { return f == "" })
	w, err := newWatched(make, bad, files...)
	if err != nil {
		return nil, err
	}
	return func() (*tls.Config, error) { return w.get(), nil }, nil
}
