// Package decode turns stored bytes into Envoy's messages. It is the one place
// that links Envoy's types: every other package asks here.
//
// Start with Cache.Message (one decode per digest, bounded in bytes), As (the
// same, typed) and Any (a message inside a message). xDS v2 resources and
// filters come back as their v3 types.
package decode
