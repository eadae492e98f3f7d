// Checks a C2SP tlog-proof with Go's own note and tlog packages: main PROOF ENTRY VKEY…
// Exit status 0 and "included", or 1 and what did not hold. Every verifier key must have signed.
package main

import (
	"encoding/base64"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

func fail(format string, args ...interface{}) {
	fmt.Printf(format+"\n", args...)
	os.Exit(1)
}

func read(name string) []byte {
	content, err := os.ReadFile(name)
	if err != nil {
		fail("%v", err)
	}
	return content
}

func main() {
	parts := strings.SplitN(string(read(os.Args[1])), "\n\n", 2)
	entry := read(os.Args[2])
	lines := strings.Split(parts[0], "\n")
	if len(parts) != 2 || lines[0] != "c2sp.org/tlog-proof@v1" {
		fail("not a tlog-proof")
	}
	index, err := strconv.ParseInt(strings.TrimPrefix(lines[1], "index "), 10, 64)
	if err != nil {
		fail("index: %v", err)
	}
	var proof tlog.RecordProof
	for _, line := range lines[2:] {
		hash, err := tlog.ParseHash(line)
		if err != nil {
			fail("path: %v", err)
		}
		proof = append(proof, hash)
	}
	var verifiers []note.Verifier
	for _, key := range os.Args[3:] {
		verifier, err := note.NewVerifier(key)
		if err != nil {
			fail("key: %v", err)
		}
		verifiers = append(verifiers, verifier)
	}
	signed, err := note.Open([]byte(parts[1]), note.VerifierList(verifiers...))
	if err != nil {
		fail("note: %v", err)
	}
	if len(signed.Sigs) != len(verifiers) {
		fail("note: %d of %d keys signed", len(signed.Sigs), len(verifiers))
	}
	body := strings.Split(signed.Text, "\n")
	size, err := strconv.ParseInt(body[1], 10, 64)
	if err != nil {
		fail("size: %v", err)
	}
	rootBytes, err := base64.StdEncoding.DecodeString(body[2])
	if err != nil {
		fail("root: %v", err)
	}
	var root tlog.Hash
	copy(root[:], rootBytes)
	if err := tlog.CheckRecord(proof, size, root, index, tlog.RecordHash(entry)); err != nil {
		fail("path: %v", err)
	}
	fmt.Println("included")
}
