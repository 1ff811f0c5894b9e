package replay

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"strings"
	"sync"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
)

// secrets makes up what was never stored: certificates, keys and tokens that are
// thrown away with the process.
type secrets struct {
	cert, key []byte // PEM; the certificate is its own authority
	noise     []byte // where neither is wanted

	mu    sync.Mutex
	kinds map[string]secretKind // by name, as resources refer to them
	asked map[string]bool
}

// secretKind is what a secret is for.
type secretKind int

const (
	certificate secretKind = iota + 1
	authority
	ticketKeys
	generic
)

func newSecrets() (*secrets, error) {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making a key: %w", err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "xdsproxy replay"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(30 * 24 * time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, DNSNames: []string{"localhost"}}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &k.PublicKey, k)
	if err != nil {
		return nil, fmt.Errorf("making a certificate: %w", err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		return nil, fmt.Errorf("writing the key: %w", err)
	}
	noise := make([]byte, 80) // the size of a session ticket key
	_, _ = rand.Read(noise)   // never fails
	return &secrets{cert: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		key: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw}), noise: noise,
		kinds: map[string]secretKind{}, asked: map[string]bool{}}, nil
}

// refer notes what a resource uses a secret for.
func (s *secrets) refer(name string, k secretKind) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kinds[name] = k
}

// named makes the secret of a name; recorded is what the recording has of it.
func (s *secrets) named(name string, recorded proto.Message) (*anypb.Any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked[name] = true
	kind := s.kinds[name]
	if r, ok := recorded.(*tlsv3.Secret); ok && kind == 0 {
		kind = kindOf(r)
	}
	if kind == 0 {
		kind = guess(name)
	}
	return anypb.New(s.make(name, kind))
}

func kindOf(s *tlsv3.Secret) secretKind {
	switch s.GetType().(type) {
	case *tlsv3.Secret_ValidationContext:
		return authority
	case *tlsv3.Secret_SessionTicketKeys:
		return ticketKeys
	case *tlsv3.Secret_GenericSecret:
		return generic
	case *tlsv3.Secret_TlsCertificate:
		return certificate
	}
	return 0
}

// guess goes by the names that Istio gives (pkg/model/credentials.go): the root
// certificate, and "-cacert" behind the name of a Kubernetes secret.
func guess(name string) secretKind {
	if strings.HasPrefix(name, "ROOTCA") || strings.HasSuffix(name, "-cacert") || strings.HasPrefix(name, "file-root:") {
		return authority
	}
	return certificate
}

func (s *secrets) make(name string, k secretKind) *tlsv3.Secret {
	out := &tlsv3.Secret{Name: name}
	switch k {
	case authority:
		out.Type = &tlsv3.Secret_ValidationContext{ValidationContext: &tlsv3.CertificateValidationContext{TrustedCa: inline(s.cert)}}
	case ticketKeys:
		out.Type = &tlsv3.Secret_SessionTicketKeys{SessionTicketKeys: &tlsv3.TlsSessionTicketKeys{Keys: []*corev3.DataSource{inline(s.noise)}}}
	case generic:
		out.Type = &tlsv3.Secret_GenericSecret{GenericSecret: &tlsv3.GenericSecret{Secret: inline([]byte("xdsproxy replay"))}}
	default:
		out.Type = &tlsv3.Secret_TlsCertificate{TlsCertificate: &tlsv3.TlsCertificate{CertificateChain: inline(s.cert), PrivateKey: inline(s.key)}}
	}
	return out
}

func inline(b []byte) *corev3.DataSource {
	return &corev3.DataSource{Specifier: &corev3.DataSource_InlineBytes{InlineBytes: b}}
}

// instead gives what stands in the place of a redacted value of a field.
func (s *secrets) instead(field string, value []byte) []byte {
	switch {
	case !bytes.HasPrefix(value, redacted):
		return value
	case strings.Contains(field, "private_key"):
		return s.key
	case strings.Contains(field, "certificate") || strings.Contains(field, "trusted_ca"):
		return s.cert
	case strings.Contains(field, "keys"):
		return s.noise
	}
	return value // as good a token as any
}
