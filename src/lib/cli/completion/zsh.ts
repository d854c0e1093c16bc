import { type Candidate, type CompletionTable, oneLine, shPattern, shQuoted, type Wanted } from './table.js';

/** A script for zsh 5 and later, to be read or to be found in fpath as `_aiot`. */
export function zshCompletion({ below, flags, args, values }: CompletionTable): string {
  return `#compdef aiot
# zsh completion for aiot: eval "$(aiot completion zsh)" after compinit, or this as _aiot in a folder of fpath
${cases('_aiot_below', below, described)}
${cases('_aiot_flags', flags, described)}
${cases('_aiot_args', args, wanted)}
${cases('_aiot_value', values, wanted)}
${main}`;
}

/** A function that says what belongs to its argument: candidates in \`reply\`, or a kind in \`kind\`. */
function cases<Value>(name: string, table: Map<string, Value>, line: (value: Value) => string): string {
  const lines = [...table].map(([key, value]) => `  ${shPattern(key)}) ${line(value)} ;;\n`);
  return `${name}() {\n  reply=() kind=words\n  case $1 in\n${lines.join('')}  *) return 1 ;;\n  esac\n}\n`;
}

function described(candidates: Candidate[]): string {
  return `reply=(${candidates.map(([word, about]) => shQuoted(`${word}:${oneLine(about)}`)).join(' ')})`;
}

function wanted(value: Wanted): string {
  return value.kind === 'words' ? `reply=(${value.words.map(shQuoted).join(' ')})` : `kind=${value.kind}`;
}

const main = `_aiot_contexts() {
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
    # Nothing can be told of what stands here: which flags there are.
    _aiot_flags "$at" && _describe -o 'flag' reply
  fi
}

_aiot_offer() {
  case $kind in
  files) _files ;;
  folders) _files -/ ;;
  contexts) _aiot_contexts && compadd -a reply ;;
  words) compadd -a reply ;;
  *) _message 'a value' ;;
  esac
}

if [[ \${funcstack[1]} == _aiot ]]; then
  _aiot "$@"
else
  compdef _aiot aiot
fi
`;
