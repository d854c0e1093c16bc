import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { describe, expect, it } from 'vitest';
import * as z from 'zod';
import { apiPage } from '../../scripts/docs/api.js';
import { loadCommands } from '../../scripts/docs/commands.js';
import { generateDocs } from '../../scripts/docs/generate.js';
import { renderMarkdown } from '../../scripts/docs/markdown.js';
import { mqttStatementsPage } from '../../scripts/docs/mqtt-statements.js';
import { firmwareOperators, modelsPage, readJudged } from '../../scripts/docs/operators.js';
import { importsOf, resolvedIn, sourcesIn } from '../../scripts/imports.js';
import { inside, vendored } from '../../scripts/inside.js';
import { contract } from '../../src/lib/api/contract/contract.js';
import { accessOf } from '../../src/lib/api/contract/endpoint.js';
import { catalogue, type ErrorCode } from '../../src/lib/core/catalogue.js';
import { projectJsonSchema, projectSchema } from '../../src/lib/core/project-schema.js';
import { protocolSchemas } from '../../src/lib/device/protocol/schemas.js';
import { operatorRows } from '../../src/lib/formats/tflite/operators.js';
import { hasC } from '../../src/lib/model/emit/emit-c.js';
import { hasKernel } from '../../src/lib/runtime/interpreter/interpreter.js';
import { cheatMarkdown } from '../../src/lib/stream/cheat-sheets.js';
import { statements } from '../platform/mqtt-statements/statements.js';
import { root } from '../support/cli.js';
import { pageText } from '../support/documents/pages.js';

const known = new Map<string, Set<string>>();

/** Returns the links of a page to anchors that do not exist. */
function deadAnchors(page: string): string[] {
  const links = [...pageText(page).matchAll(/\]\(([^)#\s]*)#([^)\s]+)\)/g)];
  return links.flatMap(([, to = '', place = '']) => {
    if (/^https?:/.test(to)) return [];
    const file = to === '' ? page : normalize(join(dirname(page), to));
    if (!file.endsWith('.md') || !existsSync(join(root, file))) return [];
    const places = known.get(file) ?? renderMarkdown(pageText(file), String).places;
    known.set(file, places);
    return places.has(place) ? [] : [`${to}#${place}`];
  });
}

const text = (file: string) => (existsSync(join(root, file)) ? readFileSync(join(root, file), 'utf8') : '');
const { dependencies, peerDependencies } = JSON.parse(text('package.json')) as Record<
  'dependencies' | 'peerDependencies',
  Record<string, string>
>;

const judgedFolder = join(root, 'test/golden/judged');

describe('docs/models.md', () => {
  const input = {
    operators: Object.keys(operatorRows),
    hasKernel,
    hasC,
    firmware: firmwareOperators(text('firmware/core/src/kernels.c')),
  };

  it('takes each judge from a list that one test compares with the operators it judges', () => {
    const tests = readdirSync(join(root, 'test'), { recursive: true })
      .map(String)
      .filter((path) => path.endsWith('.real.test.ts'))
      .map((path) => text(join('test', path)));
    for (const file of readdirSync(judgedFolder)) {
      const call = `expectRecorded('${file.replace(/\.txt$/, '')}', `;
      const flat = tests.map((source) => source.replaceAll(/expectRecorded\(\s+/g, 'expectRecorded('));
      expect(
        flat.filter((source) => source.replaceAll(/,\s+/g, ', ').includes(call)),
        file,
      ).toHaveLength(1);
    }
  });

  it.each([
    ['supported, but not judged by any test', 'int8', 'ADD', false],
    ['judged by TFLM, but not supported', 'int16', 'ELU', true],
  ])('cannot be written if an operator is %s', (reason, column, op, claimed) => {
    const judged = readJudged(judgedFolder);
    if (claimed) judged.get(column)!.set(op, ['TFLM']);
    else judged.get(column)!.delete(op);
    expect(() => modelsPage({ ...input, judged })).toThrow(`docs/models.md: ${op}, ${column}: ${reason}`);
  });
});

describe('the screenshots of the dashboard', () => {
  it('show the current sidebar; if it changed, run `npm run screens`', () => {
    const entries = text('web/app/pages.ts')
      .split(/\bpath: '/)
      .slice(1)
      .filter((entry) => !entry.includes('hidden: true'))
      .map((entry) => /\btitle: '([^']+)'/.exec(entry)?.[1]);
    expect(entries).toContain('Overview');
    expect(text('docs/images/screens/sidebar.txt').trim().split('\n')).toEqual(entries);
  });
});

describe('the generated documents', () => {
  it('match the output of `npm run docs`', async () => {
    const commands = await loadCommands(root);
    const pages = generateDocs({
      root,
      commands,
      catalogue,
      toJsonSchema: (schema, options) => z.toJSONSchema(schema, options),
      project: projectJsonSchema(),
      protocol: protocolSchemas,
      cheatSheets: cheatMarkdown(),
      api: apiPage(contract, accessOf),
      mqttStatements: mqttStatementsPage(statements),
      models: modelsPage({
        operators: Object.keys(operatorRows),
        hasKernel,
        hasC,
        firmware: firmwareOperators(text('firmware/core/src/kernels.c')),
        judged: readJudged(judgedFolder),
      }),
    });
    const stale = [...pages].filter(([path, page]) => text(path) !== page).map(([path]) => path);
    const left = ['docs/reference/cli', 'docs/reference/schemas'].flatMap((folder) =>
      (existsSync(join(root, folder)) ? readdirSync(join(root, folder), { recursive: true }) : [])
        .map((name) => `${folder}/${name}`)
        .filter((path) => /\.\w+$/.test(path) && !pages.has(path)),
    );
    expect({ stale, left }, 'npm run docs brings them up to date').toEqual({ stale: [], left: [] });
  });
});

describe('the error catalog', () => {
  const codes = Object.keys(catalogue) as ErrorCode[];

  it('is sorted', () => {
    expect(codes).toEqual([...codes].sort());
  });

  it('contains no unused code', () => {
    const sources = sourcesIn(root, 'src').filter((file) => !file.endsWith('catalogue.ts'));
    const all = sources.map(text).join('\n');
    expect(codes.filter((code) => !all.includes(`'${code}'`))).toEqual([]);
  });

  it('explains each error in a sentence and gives a next step', () => {
    const bad = codes.filter(
      (code) => !catalogue[code].about.endsWith('.') || catalogue[code].next.length < 5,
    );
    expect(bad).toEqual([]);
  });
});

describe('the dependencies', () => {
  const page = text('docs/background/dependencies.md');

  it.each(Object.keys(dependencies))('%s has a line in docs/background/dependencies.md', (name) => {
    expect(page).toMatch(new RegExp(`^\\| \`${name}\` \\|`, 'm'));
  });

  it('are all imported or read by src', () => {
    const used = sourcesIn(root, 'src').flatMap((file) => [
      ...importsOf(root, file).flatMap(({ own, to }) => (own ? [] : [to])),
      ...resolvedIn(root, file),
    ]);
    // light-my-request is not used by us but by Fastify, and is listed only to pin its version.
    const peers = ['light-my-request'];
    const unused = Object.keys(dependencies).filter(
      (name) => !peers.includes(name) && !used.some((to) => to === name || to.startsWith(`${name}/`)),
    );
    expect(unused).toEqual([]);
  });

  it('include everything that src imports', () => {
    const used = sourcesIn(root, 'src').flatMap((file) => importsOf(root, file).filter(({ own }) => !own));
    const names = new Set(
      used.map(({ to }) =>
        to
          .split('/')
          .slice(0, to.startsWith('@') ? 2 : 1)
          .join('/'),
      ),
    );
    // Packages with files that are bundled into aiot only supply types.
    const known = { ...dependencies, ...peerDependencies, ...vendored };
    expect([...names].filter((name) => !name.startsWith('node:') && !(name in known))).toEqual([]);
  });

  it('are documented if they are optional peers or bundled packages', () => {
    const others = [...Object.keys(peerDependencies), ...inside];
    expect(others.filter((name) => !page.includes(`\`${name}\``))).toEqual([]);
  });

  it('lock the C library of each libsql build, so that only one build is installed', () => {
    const { packages } = JSON.parse(text('package-lock.json')) as {
      packages: Record<string, { libc?: string[] }>;
    };
    const builds = Object.entries(packages).filter(([path]) => path.includes('@libsql/linux-'));
    expect(builds.length).toBeGreaterThan(3);
    expect(
      builds
        .filter(([path, { libc }]) => libc?.[0] !== (path.includes('musl') ? 'musl' : 'glibc'))
        .map(([path]) => path),
      'npm drops `libc` where it resolves these anew: write it into package-lock.json again',
    ).toEqual([]);
  });
});

describe('docs/reference/project.md', () => {
  const hasFields = (schema: unknown): schema is z.core.JSONSchema.BaseSchema =>
    typeof schema === 'object' &&
    schema !== null &&
    ('properties' in schema || hasFields((schema as z.core.JSONSchema.BaseSchema).additionalProperties));

  /** Paths of the schema's leaves; `*` stands for the keys of a record. */
  function paths(schema: z.core.JSONSchema.BaseSchema, at: string): string[] {
    const inner = Object.entries(schema.properties ?? {});
    const values = schema.additionalProperties;
    const isSwitch = schema.anyOf?.some((each) => each.type === 'boolean') ?? false;
    const option = isSwitch && schema.anyOf?.find((each) => 'properties' in each);
    if (option) return [at, ...paths(option, at)];
    if (inner.length > 0)
      return inner.flatMap(([key, value]) => paths(value as typeof schema, at ? `${at}.${key}` : key));
    if (hasFields(values)) return [at, ...paths(values, `${at}.*`)];
    return [at];
  }

  it('describes every field of aiot.yaml and no other', () => {
    const fields = paths(z.toJSONSchema(projectSchema, { io: 'input' }), '');
    const told = [...text('docs/reference/project.md').matchAll(/^\| `([^`]+)` \|/gm)].map(
      ([, name]) => name,
    );
    expect(told.sort()).toEqual(fields.sort());
  });
});

describe('links', () => {
  const pages = ['README.md', 'ARCHITECTURE.md', 'CONTRIBUTING.md', 'CHANGELOG.md', ...docs('docs')];

  it.each(pages)('in %s resolve', (page) => {
    const links = [...text(page).matchAll(/\]\(([^)#\s]+)(?:#[^)]*)?\)/g)].map(([, to]) => to ?? '');
    const dead = links
      .filter((to) => !/^(https?|mailto):/.test(to))
      .filter((to) => !existsSync(join(root, page, '..', to)));
    expect([...dead, ...deadAnchors(page)]).toEqual([]);
  });
});

describe('paths in the contributor documentation', () => {
  const table = text('CONTRIBUTING.md').split('## Where to make a change')[1]?.split('\n## ')[0] ?? '';
  const rows = table.split('\n').filter((line) => line.startsWith('| ') && !line.startsWith('| to change'));

  it('exist for each row of the tables in CONTRIBUTING.md', () => {
    expect(rows.length).toBeGreaterThan(50);
    expect(rows.flatMap((row) => missingIn(row).map((path) => `${row.slice(0, 50)}… names ${path}`))).toEqual(
      [],
    );
  });

  it('exist for each entry in ARCHITECTURE.md', () => {
    const page = text('ARCHITECTURE.md');
    const modules = [...page.matchAll(/^\| `([a-z]+)` \|.* \| (.+) \|$/gm)].map(
      ([, room, files]) => `| ${room} | \`src/${room === 'commands' ? '' : 'lib/'}${room}/\` ${files} |`,
    );
    const parts = [...page.matchAll(/^\| `(platform\/[\w.]+)` \| (.+) \|$/gm)].map(
      ([, place, told]) => `| ${place} | \`src/lib/${place}${place?.endsWith('.ts') ? '' : '/'}\` ${told} |`,
    );
    const steps = [...page.matchAll(/^\d\. .+$/gm)].map(([step]) => `| step | ${step} |`);
    expect([modules.length, parts.length > 10, steps.length > 10]).toEqual([23, true, true]);
    const missing = [...modules, ...parts, ...steps].flatMap(missingIn);
    expect(missing.filter((path) => !path.startsWith('aiot/v1/'))).toEqual([]);
  });

  it('are reported if they are missing', () => {
    const row = '| expressions | `src/lib/stream/route/`, `nowhere/`, `src/lib/stream/{open,gone}.ts` |';
    expect(missingIn(row)).toEqual(['nowhere/', 'src/lib/stream/gone.ts']);
  });
});

describe('the map of the files in CONTRIBUTING.md', () => {
  const entries = mapEntries(text('CONTRIBUTING.md'));
  const named = entries.flatMap(({ files }) => files);

  it('lists only existing files, each once, with what they decide', () => {
    expect(named.filter((file) => !existsSync(join(root, file)))).toEqual([]);
    expect(named.filter((file, at) => named.indexOf(file) !== at)).toEqual([]);
    expect(entries.filter(({ decides }) => !/\w/.test(decides))).toEqual([]);
  });

  it('names every file of src/lib with more than 150 lines', () => {
    // An index only re-exports.
    const large = sourcesIn(root, 'src/lib').filter(
      (file) => !/\/index\.ts$/.test(file) && text(file).split('\n').length > 150,
    );
    expect(large.length).toBeGreaterThan(500);
    const without = large.filter((file) => !named.includes(file));
    expect(without, 'add a row to the map in CONTRIBUTING.md').toEqual([]);
  });

  it('is read by section, and each cell may name several files', () => {
    const page =
      '## Map of the files\n\n### web\n\n| file | decides |\n| --- | --- |\n| `a.ts`, `b/c.ts` | x; `d.ts` |\n';
    expect(mapEntries(page)).toEqual([{ files: ['web/a.ts', 'web/b/c.ts'], decides: 'x; `d.ts`' }]);
  });
});

/** Returns the rows of the map, in which each section is named after the folder that its paths are relative to. */
function mapEntries(page: string): { files: string[]; decides: string }[] {
  const map = page.split('## Map of the files\n')[1]?.split('\n## ')[0] ?? '';
  return map
    .split('\n### ')
    .slice(1)
    .flatMap((section) => {
      const [folder = '', ...lines] = section.split('\n');
      return lines
        .filter((line) => line.startsWith('| `'))
        .map((line) => {
          const [, names = '', decides = ''] = line.split(/ ?\| ?/);
          return {
            files: [...names.matchAll(/`([^`]+)`/g)].map(([, file]) => join(folder, file ?? '')),
            decides,
          };
        });
    });
}

/**
 * Returns the paths in a table row that do not exist. They are relative to the root, to `src/lib`, or to the previous
 * path in the row.
 */
function missingIn(row: string): string[] {
  let before = '';
  return [
    ...row
      .split(' | ')
      .slice(1)
      .join(' | ')
      .matchAll(/`([\w.{},/*-]+)`/g),
  ].flatMap(([, path = '']) => {
    const isPath = /\/|\.(ts|js|sh|md|json|cmake)$/.test(path) && !/[A-Z]{4}/.test(path);
    const [, head = '', list, tail = ''] = /^(.*)\{(.*)\}(.*)$/.exec(path) ?? [];
    const each = list === undefined ? [path] : list.split(',').map((part) => `${head}${part}${tail}`);
    const bases = ['.', 'src/lib', ...(before === '' ? [] : [before, join(before, '..')])];
    if (/^(src|firmware|test|scripts|bench|templates)\//.test(path))
      before = path.endsWith('/') ? path : join(path, '..');
    return isPath ? each.filter((one) => !bases.some((base) => existsSync(join(root, base, one)))) : [];
  });
}

function docs(folder: string): string[] {
  return readdirSync(join(root, folder), { recursive: true })
    .map((path) => `${folder}/${path}`)
    .filter((path) => path.endsWith('.md'));
}
