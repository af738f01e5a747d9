// Package model sends a real server what the API model makes of each operation: for every member, however deep, requests at
// each of its constraints and beyond them, in both protocols. What the model allows must succeed, or be refused for a reason
// that the tables of this package have; what it does not must be refused by the exception that names the member.
package model
