package main

import "testing"

func TestGreeting(t *testing.T) {
	if got, want := greeting(""), "hello, world (version dev)"; got != want {
		t.Fatalf("got %q, want %q", got, want)
	}
}
