// A rule in Go: the principal must be the one that the policy's arguments name, `{"who": "ana"}`.
// LANGUAGES.md has the commands that build it.
//
// How the contract's records lie in memory is the component model's canonical ABI, written out by
// hand: addresses and lengths are 32 bits there, unlike Go's own.
package main

import (
	"strings"
	"unsafe"
)

const (
	principal = 1
	schema    = `{"type":"object","required":["who"],"additionalProperties":false,` +
		`"properties":{"who":{"type":"string"}}}`
)

// What a call gives back. Every call meets a fresh instance.
var result [9]uint32

// What is handed over stays: the host writes to it, and nothing in Go refers to it.
var taken [][]byte

func main() {}

func text(s string) (address, length uint32) {
	return uint32(uintptr(unsafe.Pointer(unsafe.StringData(s)))), uint32(len(s))
}

func word(address uint32) uint32 { return *(*uint32)(unsafe.Pointer(uintptr(address))) }

func textAt(address uint32) string {
	return read(word(address), word(address+4))
}

func read(address, length uint32) string {
	if length == 0 {
		return ""
	}
	return unsafe.String((*byte)(unsafe.Pointer(uintptr(address))), length)
}

func given() uint32 { return uint32(uintptr(unsafe.Pointer(&result))) }

//go:wasmexport cabi_realloc
func realloc(old, before, align, size uint32) uint32 {
	if size <= before {
		return old
	}
	// Go aligns what is larger than eight bytes to eight.
	bytes := make([]byte, max(size, 16))
	copy(bytes, read(old, before))
	taken = append(taken, bytes)
	return uint32(uintptr(unsafe.Pointer(&bytes[0])))
}

// who returns the text in `{"who": "…"}`, the only form that the schema lets through. One with an
// escape in it is not read, rather than compared as it is written.
func who(json string) (string, bool) {
	parts := strings.Split(json, `"`)
	if len(parts) != 5 || strings.Contains(json, `\`) {
		return "", false
	}
	return parts[3], true
}

//go:wasmexport stagedoor:rule/guard@0.2.0#describe
func describe() uint32 {
	result[0], result[1] = text("only-one")
	result[2], result[3] = text("1.0.0")
	result[4] = principal
	result[5], result[6] = text(schema)
	return given()
}

//go:wasmexport stagedoor:rule/guard@0.2.0#validate
func validate(address, length uint32) uint32 {
	if _, ok := who(read(address, length)); !ok {
		result[0] = 1
		result[1], result[2] = text("`who` has an escape in it, which this rule does not read")
	}
	return given()
}

// evaluate gives back whether it failed; then the error, or the verdict and its reason.
//
//go:wasmexport stagedoor:rule/guard@0.2.0#evaluate
func evaluate(request uint32) uint32 {
	const (
		id        = 12  // of the principal, behind whether there is one, and its type
		arguments = 128 // behind the entities and the context
	)
	hasPrincipal := word(request)&1 == 1
	name, ok := who(textAt(request + arguments))
	switch {
	case !hasPrincipal || !ok:
		result[0] = 1
		result[1], result[2] = text("there is no principal, or no argument that can be read")
	case textAt(request+id) == name:
		result[1] = 1
	default:
		result[2] = 1
		result[3], result[4] = text("somebody else may")
	}
	return given()
}
