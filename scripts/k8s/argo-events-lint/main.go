// `argo-events lint` without the controllers that the program has besides: argo-events-lint [--strict] FILE|DIR…
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
