// Package awsapi is the wire of the API and nothing else.
package awsapi
