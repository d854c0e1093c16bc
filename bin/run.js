#!/usr/bin/env node
// `--version` is answered before anything is loaded: shells and scripts ask for it often.
const [first, ...rest] = process.argv.slice(2);
if (rest.length === 0 && (first === '--version' || first === '-v')) {
  const { readFileSync } = await import('node:fs');
  const { name, version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));
  process.stdout.write(`${name}/${version} ${process.platform}-${process.arch} node-${process.version}\n`);
} else {
  const { main } = await import('../dist/lib/cli/main.js');
  await main(process.argv.slice(2), import.meta.url);
}
