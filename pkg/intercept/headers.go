package intercept

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc/codes"

	"github.com/xdsproxy/xdsproxy/pkg/xds"
)

const (
	// maxHeaderTable is what a sender may let its header table grow to. What the
	// receiver's SETTINGS allow is between the two.
	maxHeaderTable = 1 << 20
	// maxHeaderList bounds the decoded size of one header block.
	maxHeaderList = 256 << 10
)

var errHPACK = errors.New("hpack: broken header block")

// headerBlock decodes the header blocks of one direction. Every block is decoded,
// of streams that do not matter too: the blocks share one table.
type headerBlock struct {
	dec    *hpack.Decoder
	fields []hpack.HeaderField
	size   int
}

func newHeaderBlock() *headerBlock {
	h := &headerBlock{}
	h.dec = hpack.NewDecoder(4096, h.field)
	h.dec.SetAllowedMaxDynamicTableSize(maxHeaderTable)
	h.dec.SetMaxStringLength(maxHeaderList)
	return h
}

// field takes in one field; what is over the limit is left out, and the table
// still follows.
func (h *headerBlock) field(f hpack.HeaderField) {
	h.size += int(f.Size())
	if h.size > maxHeaderList {
		h.dec.SetEmitEnabled(false)
		return
	}
	h.fields = append(h.fields, f)
}

func (h *headerBlock) write(b []byte) error {
	if _, err := h.dec.Write(b); err != nil {
		return fmt.Errorf("%w: %w", errHPACK, err)
	}
	return nil
}

// take ends the block and returns its fields.
func (h *headerBlock) take() (headerList, error) {
	if err := h.dec.Close(); err != nil {
		return nil, fmt.Errorf("%w: %w", errHPACK, err)
	}
	l := headerList(h.fields)
	h.fields, h.size = nil, 0
	h.dec.SetEmitEnabled(true)
	return l, nil
}

type headerList []hpack.HeaderField

func (l headerList) get(name string) string {
	for _, f := range l {
		if f.Name == name {
			return f.Value
		}
	}
	return ""
}

// shown are the headers whose values may be kept, besides grpc-*.
var shown = []string{":authority", "content-type", "user-agent", "clusterid"}

// hidden are headers of the transport, which say nothing about a client.
var hidden = []string{"te", ":method", ":scheme", ":path", ":status"}

// metadata keeps values by allow-list and of all others the name: tokens travel
// in headers.
func (l headerList) metadata() map[string][]string {
	m := map[string][]string{}
	for _, f := range l {
		switch {
		case slices.Contains(hidden, f.Name) || len(m) == maxMetadata && m[f.Name] == nil:
		case showable(f.Name):
			m[f.Name] = append(m[f.Name], f.Value)
		case m[f.Name] == nil:
			m[f.Name] = []string{}
		}
	}
	return m
}

// maxMetadata bounds the names that are kept of one block.
const maxMetadata = 128

// showable: binary values could not be searched for secrets.
func showable(name string) bool {
	return slices.Contains(shown, name) || strings.HasPrefix(name, "grpc-") && !strings.HasSuffix(name, "-bin")
}

// close reads how the server ended a stream (gRPC over HTTP/2, "Responses").
func (l headerList) close(httpStatus string) *xds.Close {
	c := &xds.Close{By: "server", Trailer: l.metadata()}
	if s := l.get(":status"); s != "" {
		httpStatus = s
	}
	status := l.get("grpc-status")
	n, err := strconv.ParseUint(status, 10, 32)
	if err != nil {
		c.Code = codeOfHTTP(httpStatus).String()
		c.Message = "no gRPC status, HTTP status " + httpStatus
		return c
	}
	c.Code = codes.Code(n).String()
	c.Message = l.get("grpc-message")
	if m, err := url.PathUnescape(c.Message); err == nil {
		c.Message = m
	}
	return c
}

// codeOfHTTP is gRPC's mapping for answers without a gRPC status.
func codeOfHTTP(status string) codes.Code {
	switch status {
	case "400":
		return codes.Internal
	case "401":
		return codes.Unauthenticated
	case "403":
		return codes.PermissionDenied
	case "404":
		return codes.Unimplemented
	case "429", "502", "503", "504":
		return codes.Unavailable
	}
	return codes.Unknown
}

// resetClose reads a RST_STREAM of the server.
func resetClose(code uint32) *xds.Close {
	c := &xds.Close{By: "server", Message: "stream reset: " + resetName(code)}
	switch code {
	case 0x7:
		c.Code = codes.Unavailable.String()
	case 0x8:
		c.Code = codes.Canceled.String()
	case 0xb:
		c.Code = codes.ResourceExhausted.String()
	case 0xc:
		c.Code = codes.PermissionDenied.String()
	default:
		c.Code = codes.Internal.String()
	}
	return c
}

var resetNames = []string{"NO_ERROR", "PROTOCOL_ERROR", "INTERNAL_ERROR", "FLOW_CONTROL_ERROR", "SETTINGS_TIMEOUT", "STREAM_CLOSED",
	"FRAME_SIZE_ERROR", "REFUSED_STREAM", "CANCEL", "COMPRESSION_ERROR", "CONNECT_ERROR", "ENHANCE_YOUR_CALM", "INADEQUATE_SECURITY",
	"HTTP_1_1_REQUIRED"}

func resetName(code uint32) string {
	if int64(code) < int64(len(resetNames)) {
		return resetNames[code]
	}
	return "code " + strconv.FormatUint(uint64(code), 10)
}
