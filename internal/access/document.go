package access

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// Limits of a document.
const (
	maxCharacters int = 6_144    // without white space between its parts; a managed policy of IAM may have as many
	maxOctets     int = 64 << 10 // with it
	maxDepth      int = 8        // of lists and objects in each other; a statement's condition needs 5
	maxStatements int = 200      // more do not fit into maxCharacters
)

// node is a JSON value: one of object, list and text. Numbers and booleans are their text.
type node struct {
	members []member // of an object
	list    []node
	kind    nodeKind
	text    string
}

type nodeKind uint8

const (
	nodeString nodeKind = iota
	nodeScalar          // a number or a boolean
	nodeNull
	nodeObject
	nodeList
)

type member struct {
	name  string
	value node
}

// wrong is what is wrong with a document, and where.
func wrong(path, format string, args ...any) error {
	text := fmt.Sprintf(format, args...)
	if path == "" {
		return errors.New(text)
	}
	return errors.New(path + ": " + text)
}

// readDocument reads a document of bounded size and depth in which no object has a member twice.
func readDocument(text []byte) (node, error) {
	if len(text) > maxOctets || !utf8.Valid(text) {
		return node{}, wrong("", "a policy is JSON in UTF-8 of up to %d octets", maxOctets)
	}
	reader := documentReader{json.NewDecoder(strings.NewReader(string(text)))}
	reader.UseNumber()
	token, err := reader.Token()
	if err != nil {
		return node{}, notJSON(err)
	}
	document, err := reader.value("", token, 0)
	if err != nil {
		return node{}, err
	}
	if _, err := reader.Token(); err != io.EOF {
		return node{}, wrong("", "something follows the policy")
	}
	return document, checkCharacters(text)
}

// checkCharacters counts what is not white space, but for that in strings.
func checkCharacters(text []byte) error {
	n, inString, escaped := 0, false, false
	for _, c := range string(text) {
		if !inString && (c == ' ' || c == '\t' || c == '\n' || c == '\r') {
			continue
		}
		n++
		switch {
		case escaped:
			escaped = false
		case inString && c == '\\':
			escaped = true
		case c == '"':
			inString = !inString
		}
	}
	if n > maxCharacters {
		return wrong("", "the policy has %d characters, at most %d", n, maxCharacters)
	}
	return nil
}

func notJSON(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return wrong("", "the policy is not whole: it ends within JSON")
	}
	return wrong("", "the policy is not JSON: %v", err)
}

type documentReader struct{ *json.Decoder }

// value reads a value whose first token has been read.
func (d documentReader) value(path string, first json.Token, depth int) (node, error) {
	if depth > maxDepth {
		return node{}, wrong(path, "nested deeper than %d", maxDepth)
	}
	switch t := first.(type) {
	case string:
		return node{kind: nodeString, text: t}, nil
	case bool:
		return node{kind: nodeScalar, text: fmt.Sprint(t)}, nil
	case json.Number:
		return node{kind: nodeScalar, text: t.String()}, nil
	case json.Delim:
		if t == '{' {
			return d.object(path, depth)
		}
		return d.list(path, depth)
	default:
		return node{kind: nodeNull}, nil
	}
}

func (d documentReader) object(path string, depth int) (node, error) {
	n := node{kind: nodeObject}
	seen := map[string]bool{}
	for {
		token, err := d.Token()
		if err != nil {
			return n, notJSON(err)
		}
		name, ok := token.(string)
		if !ok {
			return n, nil // the end
		}
		at := join(path, name)
		if seen[name] {
			return n, wrong(at, "is there twice")
		}
		seen[name] = true
		if token, err = d.Token(); err != nil {
			return n, notJSON(err)
		}
		value, err := d.value(at, token, depth+1)
		if err != nil {
			return n, err
		}
		n.members = append(n.members, member{name, value})
	}
}

func (d documentReader) list(path string, depth int) (node, error) {
	n := node{kind: nodeList}
	for {
		token, err := d.Token()
		if err != nil {
			return n, notJSON(err)
		}
		if token == json.Delim(']') {
			return n, nil
		}
		value, err := d.value(index(path, len(n.list)), token, depth+1)
		if err != nil {
			return n, err
		}
		n.list = append(n.list, value)
	}
}

// maxNameShown is how much of a member's name a path repeats.
const maxNameShown int = 64

func join(path, name string) string {
	if len(name) > maxNameShown {
		name = strings.ToValidUTF8(name[:maxNameShown], "") + "…"
	}
	if path == "" {
		return name
	}
	return path + "." + name
}

func index(path string, i int) string { return fmt.Sprintf("%s[%d]", path, i) }

// items is a value that may be one or a list of them, as a list with the path of each.
func (n *node) items(path string) (values []node, paths []string) {
	if n.kind != nodeList {
		return []node{*n}, []string{path}
	}
	for i := range n.list {
		paths = append(paths, index(path, i))
	}
	return n.list, paths
}
