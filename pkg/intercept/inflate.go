package intercept

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

var (
	errCompression = errors.New("compressed message")
	errInflated    = fmt.Errorf("it holds more than %d MiB", maxMessage>>20)
)

// inflated collects a compressed message; finish, which is called beside the
// forwarding, inflates it. Envoy and istiod do not compress; others may.
type inflated struct {
	in    *inspector
	buf   []byte
	share share
	inner func(size uint64) body // who reads the message
	body  body
}

func newInflated(in *inspector, size uint64, inner func(size uint64) body) (*inflated, error) {
	if size > maxMessage {
		return nil, fmt.Errorf("%w over %d MiB", errCompression, maxMessage>>20)
	}
	return &inflated{in: in, inner: inner, share: share{from: in.budget}}, nil
}

func (i *inflated) feed(b []byte) error {
	if !i.share.take(len(b)) {
		return errMemory
	}
	i.buf = append(i.buf, b...)
	return nil
}

func (i *inflated) finish() (*xds.Message, error) {
	size, err := i.run(io.Discard)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errCompression, err)
	}
	i.body = i.inner(uint64(size))
	if _, err := i.run(writer(i.body.feed)); err != nil {
		return nil, err
	}
	return i.body.finish()
}

// run inflates into w. It is run twice: the first time to learn the size, so that
// no inflated message is ever held whole.
func (i *inflated) run(w io.Writer) (int64, error) {
	z, err := gzip.NewReader(bytes.NewReader(i.buf))
	if err != nil {
		return 0, err
	}
	n, err := io.Copy(w, io.LimitReader(z, maxMessage+1))
	if err == nil && n > maxMessage {
		err = errInflated
	}
	return n, err
}

func (i *inflated) drop() {
	i.share.release()
	if i.body != nil {
		i.body.drop()
	}
}

type writer func([]byte) error

func (w writer) Write(b []byte) (int, error) {
	if err := w(b); err != nil {
		return 0, err
	}
	return len(b), nil
}
