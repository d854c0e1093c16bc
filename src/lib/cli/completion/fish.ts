import { type Candidate, type CompletionTable, fishQuoted, oneLine, type Wanted } from './table.js';

/** A script for fish 3 and later. */
export function fishCompletion({ below, flags, args, values }: CompletionTable): string {
  return `# fish completion for aiot: aiot completion fish | source, or save this as ~/.config/fish/completions/aiot.fish
${cases('__aiot_below', below, described)}
${cases('__aiot_flags', flags, described)}
${cases('__aiot_args', args, wanted)}
${cases('__aiot_value', values, wanted)}
${main}`;
}

/** A shell function that completes its argument, by printing one candidate per line. */
function cases<Value>(name: string, table: Map<string, Value>, line: (value: Value) => string): string {
  const lines = [...table].map(([key, value]) => `    case ${pattern(key)}\n      ${line(value)}\n`);
  return `function ${name}\n  switch "$argv[1]"\n${lines.join('')}    case '*'\n      return 1\n  end\nend\n`;
}

/**
 * Quoted. In fish's `case`, `*` is a wildcard even in quotes; only keys that apply to all commands contain
 * it.
 */
const pattern = (key: string) => fishQuoted(key);

function described(candidates: Candidate[]): string {
  const parts = candidates.flatMap(([word, about]) => [word, oneLine(about)]);
  return `printf '%s\\t%s\\n' ${parts.map(fishQuoted).join(' ')}`;
}

function wanted(value: Wanted): string {
  if (value.kind === 'words') return `printf '%s\\n' ${value.words.map(fishQuoted).join(' ')}`;
  if (value.kind === 'names') return `__aiot_names ${value.of}`;
  return { files: '__aiot_files', folders: '__aiot_folders', contexts: '__aiot_contexts', other: 'true' }[
    value.kind
  ];
}

const main = `function __aiot_files
  __fish_complete_path "$__aiot_cur"
end

function __aiot_folders
  __fish_complete_directories "$__aiot_cur" ''
end

# Prints the folder with this context's names. Names older than a minute are refreshed in the background.
function __aiot_cache
  set -l context $AIOT_CONTEXT
  set -l given (commandline -opc 2>/dev/null)
  set -l at (contains -i -- --context $given; or contains -i -- -c $given)
  test -n "$at"; and set context $given[(math $at + 1)]
  if test -z "$context"
    set context (sed -n 's/^  "current": "\\(.*\\)",\\{0,1\\}$/\\1/p' (__aiot_config)/contexts.json 2>/dev/null)
  end
  string match -qr '^[A-Za-z0-9_.-]+$' -- "$context"; or return 1
  set -l folder $AIOT_CACHE_DIR
  if test -z "$folder"
    set folder ~/.cache/aiot
    test -n "$XDG_CACHE_HOME"; and set folder $XDG_CACHE_HOME/aiot
  end
  set folder $folder/completion/$context
  echo $folder
  command -q aiot; or return 0
  test -n "$(find $folder/.asked -mmin -1 2>/dev/null)"; and return 0
  mkdir -p $folder 2>/dev/null; and touch $folder/.asked 2>/dev/null; or return 0
  command aiot completion fish --refresh --context $context </dev/null >/dev/null 2>&1 &
  disown 2>/dev/null
end

function __aiot_names
  set -l folder (__aiot_cache); or return 0
  test -r $folder/$argv[1]; and cat $folder/$argv[1]
  return 0
end

function __aiot_config
  set -l folder $AIOT_CONFIG_DIR
  if test -z "$folder"
    set folder ~/.config/aiot
    test -n "$XDG_CONFIG_HOME"; and set folder $XDG_CONFIG_HOME/aiot
  end
  echo $folder
end

function __aiot_contexts
  sed -n 's/^    "\\(.*\\)": {$/\\1/p' (__aiot_config)/contexts.json 2>/dev/null
end

function __aiot_complete
  set -l given (commandline -opc)
  set -g __aiot_cur (commandline -ct)
  set -l prev $given[-1]
  set -l before ''
  set -l at ''
  for word in $given[2..-1]
    string match -q -- '-*' $word; and continue
    if contains -- $word (__aiot_below "$at" | string replace -r '\\t.*' '')
      set at (string trim -- "$at $word")
    else if test -n "$at"
      break
    end
  end
  if string match -q -- '--*=*' $__aiot_cur
    set prev (string split -m 1 -- = $__aiot_cur)[1]
    set before $prev=
    set __aiot_cur (string split -m 1 -- = $__aiot_cur)[2]
  end
  if string match -q -- '-*' $prev
    set -l found (__aiot_value "$at $prev")
    if test $status -eq 0
      test (count $found) -gt 0; and printf "$before%s\\n" $found
      return
    end
  end
  if string match -q -- '-*' $__aiot_cur
    __aiot_flags "$at"
  else if __aiot_below "$at"
    __aiot_args "$at"
  else if not __aiot_args "$at"; and test -z "$__aiot_cur"
    # The word here cannot be completed: list the flags.
    __aiot_flags "$at"
  end
end

complete -c aiot -f -a '(__aiot_complete)'
__aiot_cache >/dev/null
`;
