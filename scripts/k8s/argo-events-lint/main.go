// Does the same as `argo-events lint`, but without the controllers that are part of that program: argo-events-lint [--strict] FILE|DIR…
package main

import (
	"os"

	"github.com/argoproj/argo-events/cmd/only-lint/commands"
)

func main() {
	if commands.NewLintCommand().Execute() != nil {
		os.Exit(1)
	}
}
