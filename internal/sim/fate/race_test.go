//go:build race

package fate

const raced = true
