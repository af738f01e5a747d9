// Package peers lets real software speak with a real server: the AWS SDKs and tools with its API, and well-known SMTP
// software with its ingress points and relays. A peer that is not installed is skipped by name; see package peer.
package peers
