// Prints one line of JSON with the findings of `docker build --check` for FOLDER/Dockerfile, from BuildKit's own parser and linter, the
// files that it reads, and the files that .dockerignore admits: dockerfile-check FOLDER. Base images are not fetched, but treated as empty.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/client/llb/sourceresolver"
	"github.com/moby/buildkit/frontend/dockerfile/dockerfile2llb"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/buildkit/frontend/dockerui"
	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"
	"github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
)

type empty struct{}

func (empty) ResolveImageConfig(_ context.Context, name string, _ sourceresolver.Opt) (string, digest.Digest, []byte, error) {
	return name, digest.FromString(name), []byte("{}"), nil
}

type finding struct {
	Rule   string `json:"rule"`
	Detail string `json:"detail"`
	Line   int32  `json:"line"`
}

// A line of a stage. The Words of RUN are passed to the shell or the kernel; those of COPY are the sources, followed by the destination.
type command struct {
	Name  string   `json:"name"`
	Words []string `json:"words"`
	From  string   `json:"from,omitempty"`
	Chown string   `json:"chown,omitempty"`
}

type stage struct {
	Name     string    `json:"name"`
	Base     string    `json:"base"`
	Commands []command `json:"commands"`
}

func read(text []byte) ([]stage, error) {
	parsed, err := parser.Parse(bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	all, _, err := instructions.Parse(parsed.AST, nil)
	if err != nil {
		return nil, err
	}
	stages := []stage{}
	for _, each := range all {
		made := stage{Name: each.Name, Base: each.BaseName, Commands: []command{}}
		for _, one := range each.Commands {
			line := command{Name: one.Name(), Words: []string{}}
			switch known := one.(type) {
			case *instructions.RunCommand:
				line.Words = known.CmdLine
			case *instructions.CopyCommand:
				line.Words = append(append(line.Words, known.SourcePaths...), known.DestPath)
				line.From, line.Chown = known.From, known.Chown
			case *instructions.WorkdirCommand:
				line.Words = []string{known.Path}
			}
			made.Commands = append(made.Commands, line)
		}
		stages = append(stages, made)
	}
	return stages, nil
}

// Files and links that are sent to a build because no line of .dockerignore matches them.
func sent(folder string) ([]string, error) {
	ignore, err := os.Open(filepath.Join(folder, ".dockerignore"))
	if err != nil {
		return nil, err
	}
	defer ignore.Close()
	patterns, err := ignorefile.ReadAll(ignore)
	if err != nil {
		return nil, err
	}
	matcher, err := patternmatcher.New(patterns)
	if err != nil {
		return nil, err
	}
	files := []string{}
	err = filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		name, _ := filepath.Rel(folder, path)
		if err != nil || entry.IsDir() {
			return err
		}
		out, err := matcher.MatchesOrParentMatches(name)
		if !out {
			files = append(files, name)
		}
		return err
	})
	return files, err
}

func check(folder string) (map[string]any, error) {
	file := filepath.Join(folder, "Dockerfile")
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	source := llb.NewSourceMap(nil, file, "Dockerfile", text)
	source.Definition = &llb.Definition{}
	options := func() dockerfile2llb.ConvertOpt {
		platform := ocispecs.Platform{OS: "linux", Architecture: "arm64"}
		return dockerfile2llb.ConvertOpt{
			Config:         dockerui.Config{BuildPlatforms: []ocispecs.Platform{{OS: "linux", Architecture: "amd64"}}},
			MetaResolver:   empty{},
			TargetPlatform: &platform,
			SourceMap:      source,
		}
	}
	results, err := dockerfile2llb.DockerfileLint(context.Background(), text, options())
	if err != nil {
		return nil, err
	}
	findings := []finding{}
	for _, each := range results.Warnings {
		findings = append(findings, finding{each.RuleName, each.Detail, each.Location.Ranges[0].Start.Line})
	}
	if results.Error != nil {
		return map[string]any{"findings": append(findings, finding{"error", results.Error.Message, 0})}, nil
	}
	built, err := dockerfile2llb.Dockerfile2LLB(context.Background(), text, options())
	if err != nil {
		return nil, err
	}
	stages, err := read(text)
	if err != nil {
		return nil, err
	}
	files, err := sent(folder)
	return map[string]any{"findings": findings, "image": built.Image.Config, "stages": stages, "sent": files}, err
}

func main() {
	found, err := check(os.Args[1])
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(found)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
