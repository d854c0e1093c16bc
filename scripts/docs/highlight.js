import { createRequire } from 'node:module';
import { escapeHtml } from './markdown.js';

// Loaded with `require`, because an import would add the package's browser types to the whole type check.
const load = createRequire(import.meta.url);
const hljs = load('highlight.js/lib/core');
const languageOf = (name) => load(`highlight.js/lib/languages/${name}`);

/**
 * Bash with extra highlighting of programs and flags, because most blocks are command lines. Builtins are not highlighted, because
 * arguments such as `link` and `type` have the same names.
 */
function shell(library) {
  const language = languageOf('bash')(library);
  const own = [
    { scope: 'title', match: /\baiot(?=\s|$)/ },
    { scope: 'attr', match: /(?<=\s)--?[a-zA-Z][\w-]*/ },
  ];
  const { built_in: _, ...keywords } = language.keywords;
  return { ...language, keywords, contains: [...own, ...language.contains] };
}

const languages = {
  sh: shell,
  json: languageOf('json'),
  yaml: languageOf('yaml'),
  ts: languageOf('typescript'),
  js: languageOf('typescript'),
  c: languageOf('c'),
  cpp: languageOf('cpp'),
  ini: languageOf('ini'),
  python: languageOf('python'),
};
for (const [name, language] of Object.entries(languages)) hljs.registerLanguage(name, language);

/**
 * Code as HTML, with classes for its tokens; unknown languages are only escaped.
 * @param {string} code
 * @param {string} language
 */
export function highlight(code, language) {
  if (!Object.hasOwn(languages, language)) return escapeHtml(code);
  return hljs.highlight(code, { language, ignoreIllegals: true }).value;
}
