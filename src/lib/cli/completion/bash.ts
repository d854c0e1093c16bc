import { type Candidate, type CompletionTable, shPattern, shQuoted, type Wanted } from './table.js';

/** A script for bash 4.4 and later. It needs no bash-completion, and starts no aiot process. */
export function bashCompletion({ below, flags, args, values }: CompletionTable): string {
  return `# bash completion for aiot: eval "$(aiot completion bash)", or save this as /usr/share/bash-completion/completions/aiot
${cases('_aiot_below', below, words)}
${cases('_aiot_flags', flags, words)}
${cases('_aiot_args', args, wanted)}
${cases('_aiot_value', values, wanted)}
${main}`;
}

/** A shell function that maps its argument to the possible words, in REPLY, or to the kind of value, in KIND. */
function cases<Value>(name: string, table: Map<string, Value>, line: (value: Value) => string): string {
  const lines = [...table].map(([key, value]) => `  ${shPattern(key)}) ${line(value)} ;;\n`);
  return `${name}() {\n  REPLY='' KIND=words\n  case $1 in\n${lines.join('')}  *) return 1 ;;\n  esac\n}\n`;
}

const words = (candidates: Candidate[]) => `REPLY=${shQuoted(candidates.map(([word]) => word).join(' '))}`;

function wanted(value: Wanted): string {
  if (value.kind === 'names') return `KIND=names REPLY=${value.of}`;
  return value.kind === 'words' ? `REPLY=${shQuoted(value.words.join(' '))}` : `KIND=${value.kind}`;
}

const main = `# Sets REPLY to the folder with this context's names. Names older than a minute are refreshed in the background.
_aiot_cache() {
  local context=\${AIOT_CONTEXT-} word i
  for ((i = 1; i + 1 < \${#COMP_WORDS[@]}; i++)); do
    [[ \${COMP_WORDS[i]} == -c || \${COMP_WORDS[i]} == --context ]] && context=\${COMP_WORDS[i+1]}
  done
  if [[ -z $context ]]; then
    context=$(sed -n 's/^  "current": "\\(.*\\)",\\{0,1\\}$/\\1/p' "\${AIOT_CONFIG_DIR:-\${XDG_CONFIG_HOME:-$HOME/.config}/aiot}/contexts.json" 2>/dev/null)
  fi
  [[ $context =~ ^[A-Za-z0-9_.-]+$ ]] || return 1
  REPLY="\${AIOT_CACHE_DIR:-\${XDG_CACHE_HOME:-$HOME/.cache}/aiot}/completion/$context"
  type -P aiot >/dev/null || return 0
  [[ -n $(find "$REPLY/.asked" -mmin -1 2>/dev/null) ]] && return 0
  mkdir -p "$REPLY" 2>/dev/null && : >|"$REPLY/.asked" || return 0
  (command aiot completion bash --refresh --context "$context" </dev/null >/dev/null 2>&1 &)
}

_aiot_contexts() {
  REPLY=$(sed -n 's/^    "\\(.*\\)": {$/\\1/p' "\${AIOT_CONFIG_DIR:-\${XDG_CONFIG_HOME:-$HOME/.config}/aiot}/contexts.json" 2>/dev/null)
}

_aiot() {
  local cur=\${COMP_WORDS[COMP_CWORD]} prev=\${COMP_WORDS[COMP_CWORD-1]} at='' word i REPLY KIND IFS=$' \\t\\n'
  # Bash splits --kind=mlp into three words.
  if [[ $cur == '=' ]]; then
    cur=''
  elif [[ $prev == '=' && $COMP_CWORD -gt 2 ]]; then
    prev=\${COMP_WORDS[COMP_CWORD-2]}
  fi
  for ((i = 1; i < COMP_CWORD; i++)); do
    word=\${COMP_WORDS[i]}
    [[ $word == -* ]] && continue
    _aiot_below "$at"
    if [[ " $REPLY " == *" $word "* ]]; then
      at=\${at:+$at }$word
    elif [[ -n $at ]]; then
      break
    fi
  done
  if [[ $prev == -* ]] && _aiot_value "$at $prev"; then
    :
  elif [[ $cur == -* ]]; then
    _aiot_flags "$at"
  elif _aiot_below "$at" && [[ -n $(compgen -W "$REPLY" -- "$cur") ]]; then
    :
  elif ! _aiot_args "$at"; then
    # The word here cannot be completed: list the flags.
    [[ -n $cur ]] || _aiot_flags "$at"
  fi
  [[ $KIND == contexts ]] && _aiot_contexts
  COMPREPLY=()
  case $KIND in
  names)
    local kind=$REPLY
    _aiot_cache || return 0
    [[ -r $REPLY/$kind ]] || return 0
    while read -r word; do [[ $word == "$cur"* ]] && COMPREPLY+=("$word"); done <"$REPLY/$kind"
    ;;
  files)
    compopt -o filenames 2>/dev/null
    while read -r word; do COMPREPLY+=("$word"); done < <(compgen -f -- "$cur")
    ;;
  folders)
    compopt -o filenames 2>/dev/null
    while read -r word; do COMPREPLY+=("$word"); done < <(compgen -d -- "$cur")
    ;;
  *) while read -r word; do COMPREPLY+=("$word"); done < <(compgen -W "$REPLY" -- "$cur") ;;
  esac
}

complete -F _aiot aiot
COMP_WORDS=(aiot) _aiot_cache || true
`;
