package access

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// What a token of a pattern stands for, where it is no character.
const (
	anyCharacter  rune = -1 - iota // ?
	anyCharacters                  // *
	userName                       // ${aws:username}
	userAccount                    // ${aws:PrincipalAccount}
)

// variables are the policy variables, in lower case. The last three are how a pattern spells what would mean something.
var variables = map[string]rune{
	"aws:username": userName, "aws:principalaccount": userAccount, "*": '*', "?": '?', "$": '$',
}

// pattern is a text with wildcards.
type pattern struct {
	tokens []rune // characters, and tokens that are below 0
	fold   bool   // A to Z and a to z are the same; tokens are in lower case then
	filled bool   // it has variables
}

// patternKind says how a text is read as a pattern.
type patternKind struct {
	fold      bool
	plain     bool // * and ? are characters like others
	variables bool
}

// compilePattern reads a pattern. The error says what is wrong with a variable.
func compilePattern(text string, k patternKind) (p pattern, err error) {
	p.fold = k.fold
	for text != "" {
		token, size := utf8.DecodeRuneInString(text)
		switch {
		case k.variables && strings.HasPrefix(text, "${"):
			if token, size, err = variable(text); err != nil {
				return p, err
			}
			p.filled = p.filled || token < 0
		case k.plain:
		case token == '?':
			token = anyCharacter
		case token == '*':
			token = anyCharacters
		}
		if k.fold {
			token = lower(token)
		}
		p.tokens = append(p.tokens, token)
		text = text[size:]
	}
	return p, nil
}

// variable reads ${NAME} at the beginning of a text.
func variable(text string) (token rune, size int, err error) {
	end := strings.IndexByte(text, '}')
	if end < 0 {
		return 0, 0, fmt.Errorf("a policy variable has no end; write ${$} for a dollar sign")
	}
	token, ok := variables[strings.ToLower(text[len("${"):end])]
	if !ok {
		return 0, 0, fmt.Errorf("%s is none of the policy variables ${aws:username} and ${aws:PrincipalAccount}", text[:end+1])
	}
	return token, end + 1, nil
}

func lower(r rune) rune {
	if 'A' <= r && r <= 'Z' {
		return r + ('a' - 'A')
	}
	return r
}

// match reports whether the whole text is as the pattern says. It goes back to the last * only, and so takes time
// proportional to the product of both lengths at most (S16).
func (p *pattern) match(text string, r *Request) bool {
	tokens := p.tokens
	if p.filled {
		tokens = p.fill(r)
	}
	at, star, resume := 0, -1, 0 // resume is where the text goes on behind what the last * stands for
	for i := 0; i < len(text); {
		c, size := utf8.DecodeRuneInString(text[i:])
		if p.fold {
			c = lower(c)
		}
		switch {
		case at < len(tokens) && tokens[at] == anyCharacters:
			star, resume = at, i
			at++
		case at < len(tokens) && (tokens[at] == c || tokens[at] == anyCharacter):
			at++
			i += size
		case star >= 0:
			_, size = utf8.DecodeRuneInString(text[resume:])
			resume += size
			at, i = star+1, resume
		default:
			return false
		}
	}
	for at < len(tokens) && tokens[at] == anyCharacters {
		at++
	}
	return at == len(tokens)
}

// reaches reports whether the pattern matches a text that begins like that: whatever follows the beginning can be chosen.
func (p *pattern) reaches(beginning string, r *Request) bool {
	tokens := p.tokens
	if p.filled {
		tokens = p.fill(r)
	}
	for _, c := range beginning {
		if p.fold {
			c = lower(c)
		}
		switch {
		case len(tokens) == 0:
			return false
		case tokens[0] == anyCharacters:
			return true
		case tokens[0] != c && tokens[0] != anyCharacter:
			return false
		}
		tokens = tokens[1:]
	}
	return true
}

// fill puts the values of variables in. They stand for themselves: a * in one is no wildcard.
func (p *pattern) fill(r *Request) []rune {
	filled := make([]rune, 0, len(p.tokens)+len(r.User)+len(r.Account))
	for _, token := range p.tokens {
		value := ""
		switch token {
		case userName:
			value = r.User
		case userAccount:
			value = r.Account
		default:
			filled = append(filled, token)
		}
		for _, c := range value {
			if p.fold {
				c = lower(c)
			}
			filled = append(filled, c)
		}
	}
	return filled
}
