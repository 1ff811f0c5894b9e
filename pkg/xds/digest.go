package xds

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
)

// Digest identifies a body: the first 20 bytes of the SHA-256 of the bytes as
// they are kept (after redaction). The zero Digest means "no body".
type Digest [20]byte

// DigestOf returns the identity of b.
func DigestOf(b []byte) Digest {
	sum := sha256.Sum256(b)
	return Digest(sum[:20])
}

// IsZero reports whether d stands for "no body".
func (d Digest) IsZero() bool { return d == Digest{} }

// String is the form on display: 12 hex digits.
func (d Digest) String() string { return hex.EncodeToString(d[:6]) }

// Hex is the whole digest, 40 hex digits, as it stands in files.
func (d Digest) Hex() string { return hex.EncodeToString(d[:]) }

// ParseDigest reads what Hex wrote.
func ParseDigest(s string) (Digest, error) {
	var d Digest
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(d) {
		return Digest{}, fmt.Errorf("digest %q is not 40 hex digits", s)
	}
	return Digest(b), nil
}

// Body is the bytes of one resource (a google.protobuf.Any, type URL included)
// or of one node, with their identity.
type Body struct {
	Digest Digest
	Bytes  []byte
}

// NewBody names b by its content.
func NewBody(b []byte) Body { return Body{Digest: DigestOf(b), Bytes: b} }

// Key is an observer's own hash of a Chunk: xxh3-128 under a seed that is random
// per process. It tells "seen before" and is never stored.
type Key [16]byte

// Bodyless stands in a snapshot for a resource that is known to be there but
// whose body was not recorded. No body has this digest.
var Bodyless = Digest{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
