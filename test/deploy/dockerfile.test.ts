import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { root } from '../support/cli.js';

/** Returns the instructions with their words. Continued lines are joined, and comments are dropped. */
function instructions(text: string): { name: string; words: string }[] {
  const lines = text
    .replaceAll(/^\s*#.*\n/gm, '')
    .replaceAll(/\\\n/g, ' ')
    .split('\n');
  return lines
    .filter((line) => line.trim() !== '')
    .map((line) => {
      const [, name = '', words = ''] = /^\s*(\S+)\s+(.*)$/.exec(line) ?? [];
      return { name, words: words.replaceAll(/\s+/g, ' ').trim() };
    });
}

describe('the Dockerfile', () => {
  const all = instructions(readFileSync(join(root, 'Dockerfile'), 'utf8'));
  const final = all.slice(all.map(({ name }) => name).lastIndexOf('FROM'));
  const of = (name: string) => final.filter((each) => each.name === name).map(({ words }) => words);

  it('uses only base images with a tag other than latest', () => {
    const images = all.filter(({ name }) => name === 'ARG').map(({ words }) => words.split('=')[1] ?? '');
    expect(images).toHaveLength(2);
    for (const image of images) expect(image).toMatch(/:[\w.-]+$/);
    expect(images.join()).not.toContain('latest');
  });

  it('runs without a shell, as a numeric non-root user that Kubernetes can check', () => {
    expect(of('USER')).toEqual(['65532:65532']);
    expect(JSON.parse(of('ENTRYPOINT')[0] ?? '')).toEqual(['/nodejs/bin/node', '/app/bin/run.js']);
    expect(JSON.parse(of('CMD')[0] ?? '')).toEqual(['--help']);
    expect(of('RUN')).toEqual([]);
  });

  it('copies only from existing stages, and runs files that its user does not own', () => {
    const stages = all
      .filter(({ name }) => name === 'FROM')
      .flatMap(({ words }) => / AS (\S+)$/.exec(words)?.[1] ?? []);
    const copied = all
      .filter(({ name }) => name === 'COPY')
      .flatMap(({ words }) => /--from=(\S+)/.exec(words)?.[1] ?? []);
    expect(copied.filter((stage) => !stages.includes(stage))).toEqual([]);
    expect(of('COPY')).toContain('--from=install --chown=0:0 /app /app');
  });

  it('excludes keys, environment files and the Git history from the build context', () => {
    const ignored = readFileSync(join(root, '.dockerignore'), 'utf8').split('\n');
    expect(ignored).toEqual(
      expect.arrayContaining(['.git', '**/*.env', '**/*.key', '**/secrets', 'node_modules']),
    );
  });
});
