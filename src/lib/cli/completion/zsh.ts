import { type Candidate, type CompletionTable, oneLine, shPattern, shQuoted, type Wanted } from './table.js';

/** A script for zsh 5 and later, to be sourced or placed in fpath as `_aiot`. */
export function zshCompletion({ below, flags, args, values }: CompletionTable): string {
  return `#compdef aiot
# zsh completion for aiot: eval "$(aiot completion zsh)" after compinit, or this as _aiot in a folder of fpath
${cases('_aiot_below', below, described)}
${cases('_aiot_flags', flags, described)}
${cases('_aiot_args', args, wanted)}
${cases('_aiot_value', values, wanted)}
${main}`;
}

/** A shell function that sets the candidates for its argument in `reply`, or the kind of value in `kind`. */
function cases<Value>(name: string, table: Map<string, Value>, line: (value: Value) => string): string {
  const lines = [...table].map(([key, value]) => `  ${shPattern(key)}) ${line(value)} ;;\n`);
  return `${name}() {\n  reply=() kind=words\n  case $1 in\n${lines.join('')}  *) return 1 ;;\n  esac\n}\n`;
}

function described(candidates: Candidate[]): string {
  return `reply=(${candidates.map(([word, about]) => shQuoted(`${word}:${oneLine(about)}`)).join(' ')})`;
}

function wanted(value: Wanted): string {
  if (value.kind === 'names') return `kind=names reply=(${value.of})`;
  return value.kind === 'words' ? `reply=(${value.words.map(shQuoted).join(' ')})` : `kind=${value.kind}`;
}

const main = `# Sets REPLY to the folder with this context's names. Names older than a minute are refreshed in the background.
_aiot_cache() {
  local context=\${AIOT_CONTEXT-} i
  for ((i = 2; i < \${#words}; i++)); do
    [[ \${words[i]} == -c || \${words[i]} == --context ]] && context=\${words[i+1]}
  done
  if [[ -z $context ]]; then
    context=$(sed -n 's/^  "current": "\\(.*\\)",\\{0,1\\}$/\\1/p' "\${AIOT_CONFIG_DIR:-\${XDG_CONFIG_HOME:-$HOME/.config}/aiot}/contexts.json" 2>/dev/null)
  fi
  [[ $context == [A-Za-z0-9]* && $context != */* ]] || return 1
  REPLY="\${AIOT_CACHE_DIR:-\${XDG_CACHE_HOME:-$HOME/.cache}/aiot}/completion/$context"
  whence -p aiot >/dev/null || return 0
  [[ -n $(find "$REPLY/.asked" -mmin -1 2>/dev/null) ]] && return 0
  { mkdir -p "$REPLY" && : >|"$REPLY/.asked" } 2>/dev/null || return 0
  (command aiot completion zsh --refresh --context "$context" </dev/null >/dev/null 2>&1 &)
}

_aiot_names() {
  local REPLY of=\${reply[1]}
  reply=()
  _aiot_cache && [[ -r $REPLY/$of ]] && reply=(\${(f)"$(<$REPLY/$of)"})
}

_aiot_contexts() {
  reply=(\${(f)"$(sed -n 's/^    "\\(.*\\)": {$/\\1/p' "\${AIOT_CONFIG_DIR:-\${XDG_CONFIG_HOME:-$HOME/.config}/aiot}/contexts.json" 2>/dev/null)"})
}

_aiot() {
  local cur=\${words[CURRENT]} prev=\${words[CURRENT-1]} at='' word kind='' i
  local -a reply
  for ((i = 2; i < CURRENT; i++)); do
    word=\${words[i]}
    [[ $word == -* ]] && continue
    _aiot_below "$at"
    if (( \${reply[(I)\${(b)word}:*]} )); then
      at="\${at:+$at }$word"
    elif [[ -n $at ]]; then
      break
    fi
  done
  if [[ $cur == --*=* ]]; then
    prev=\${cur%%=*}
    compset -P 1 '*='
    cur=$PREFIX
  fi
  if [[ $prev == -* ]] && _aiot_value "$at $prev"; then
    _aiot_offer
  elif [[ $cur == -* ]]; then
    _aiot_flags "$at" && _describe -o 'flag' reply
  elif _aiot_below "$at" && _describe 'command' reply; then
    :
  elif _aiot_args "$at"; then
    _aiot_offer
  elif [[ -z $cur ]]; then
    # The word here cannot be completed: list the flags.
    _aiot_flags "$at" && _describe -o 'flag' reply
  fi
}

_aiot_offer() {
  case $kind in
  files) _files ;;
  folders) _files -/ ;;
  contexts) _aiot_contexts && compadd -a reply ;;
  names) _aiot_names && compadd -a reply ;;
  words) compadd -a reply ;;
  *) _message 'a value' ;;
  esac
}

if [[ \${funcstack[1]} == _aiot ]]; then
  _aiot "$@"
else
  compdef _aiot aiot
  () { local -a words; local REPLY; _aiot_cache } || true
fi
`;
