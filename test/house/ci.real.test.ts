import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { type CommandFile, flagsOf, loadCommands } from '../../scripts/docs/commands.js';
import { junitXml } from '../../src/lib/formats/junit.js';
import { firmwareTargets } from '../../src/lib/project/firmware/build.js';
import { root } from '../support/cli.js';
import { describeReal, python } from '../support/real.js';

let folder = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'aiot-ci-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const templates = join(root, 'templates', 'ci');
const files = ['github/action.yml', 'gitlab/aiot.gitlab-ci.yml'] as const;
const read = (path: string) => readFileSync(join(templates, path), 'utf8');

describeReal('ci', 'CI reports and templates', () => {
  it('include JUnit XML that junitparser can read', () => {
    const file = join(folder, 'r.xml');
    const odd = `a <b> & "c" ]]> \u0007 ü 😀`;
    const cases = [
      { className: 'one', name: 'passes' },
      { className: 'one', name: odd, failure: `${odd}\nsecond line` },
      { className: 'two', name: 'left out', skipped: 'not here' },
    ];
    writeFileSync(file, junitXml('aiot deploy check', cases, 1.5));
    const program = join(root, 'test/support/python/read_junit.py');
    const { stdout, stderr } = spawnSync(python('ci'), [program, file], { encoding: 'utf8' });
    expect(stderr).toBe('');
    const told = odd.replace('\u0007', '\uFFFD');
    expect(JSON.parse(stdout)[0]).toEqual([
      {
        ...{ name: 'aiot deploy check', tests: 3, failures: 1, errors: 0, skipped: 1 },
        cases: [
          { classname: 'one', name: 'passes', failure: null, skipped: false },
          { classname: 'one', name: told, failure: `${told}\nsecond line`, skipped: false },
          { classname: 'two', name: 'left out', failure: null, skipped: true },
        ],
      },
    ]);
  });

  const schemas: [string, string, RegExp][] = [
    ['vendor.github-actions', 'github/action.yml', /using: composite/],
    ['vendor.github-workflows', 'github/workflow.yml', /runs-on: .*/],
    ['vendor.gitlab-ci', 'gitlab/aiot.gitlab-ci.yml', /when: always/],
    ['vendor.github-workflows', 'firmware/github.yml', /runs-on: .*/],
    ['vendor.gitlab-ci', 'firmware/gitlab-ci.yml', /expire_in: .*/],
  ];
  it.each(schemas)('pass the schema %s in %s, which detects a mistake', (schema, path, part) => {
    const check = (text: string) => {
      const file = join(folder, 'checked.yml');
      writeFileSync(file, text);
      const program = join(dirname(python('ci')), 'check-jsonschema');
      return spawnSync(program, ['--builtin-schema', schema, file], { encoding: 'utf8' });
    };
    const good = check(read(path));
    expect(good.status, good.stdout + good.stderr).toBe(0);
    expect(read(path)).toMatch(part);
    expect(check(read(path).replace(part, 'nonsense: [1]')).status).not.toBe(0);
  });
});

describe('the firmware in templates/ci', () => {
  it('is built for each chip, with the same commands on both systems', () => {
    const github = parse(read('firmware/github.yml')).jobs.build;
    const gitlab = parse(read('firmware/gitlab-ci.yml')).firmware;
    const chips = firmwareTargets.filter((target) => target.startsWith('esp32'));
    expect(github.strategy.matrix.target).toEqual(chips);
    expect(gitlab.parallel.matrix).toEqual([{ TARGET: chips }]);
    expect(github.container).toBe(gitlab.image);
    expect(github.steps[1].run.trim().split('\n')).toEqual(gitlab.script);
  });
});

describe('command lines in templates/ci', () => {
  let commands: CommandFile[] = [];
  beforeAll(async () => {
    commands = await loadCommands(root);
  });

  it.each(files)('use only known commands and flags in %s', (path) => {
    const lines =
      JSON.stringify(parse(read(path))).match(/aiot [a-z]+ [a-z][^;&\]]*?(?=&&|"[,}\]]|$)/g) ?? [];
    expect(lines.length).toBeGreaterThan(3);
    for (const line of lines) {
      const found = commands.find(({ id }) => line.startsWith(`aiot ${id} `) || line.trim() === `aiot ${id}`);
      expect(found, line).toBeDefined();
      const known = flagsOf(found!.command).map(([name]) => `--${name}`);
      for (const [flag] of line.matchAll(/--[a-z-]+/g)) expect(known, line).toContain(flag);
    }
  });

  it('install the packed file instead of a registry package, and run no install scripts', () => {
    const container = JSON.parse(read('devcontainer/devcontainer.json'));
    expect(container).toMatchObject({ forwardPorts: [8443, 8883] });
    const install = 'npm install --global --ignore-scripts --no-audit --no-fund';
    expect(container.postCreateCommand).toContain(`${install} ./tools/aiot.tgz && aiot completion bash`);
    for (const path of files) expect(read(path)).toContain(`${install} "$PACKAGE"`);
    expect(read('github/workflow.yml')).toContain('package: ./tools/aiot.tgz');
    expect(parse(read(files[1])).aiot.variables.PACKAGE).toBe('./tools/aiot.tgz');
  });
});

/** Runs a step as GitHub and GitLab do, in a bash that stops at the first failure. */
function runStep(script: string, env: Record<string, string>, cwd: string) {
  const { status, stdout, stderr } = spawnSync(
    'bash',
    ['--noprofile', '--norc', '-eo', 'pipefail', '-c', script],
    {
      encoding: 'utf8',
      timeout: 60_000,
      cwd,
      env: {
        ...{ PATH: `${folder}/bin:${process.env.PATH}`, HOME: join(folder, 'home'), CI: 'true' },
        ...env,
      },
    },
  );
  expect(status, `${script}\n${stdout}${stderr}`).toBe(0);
}

function projectWithRoutes(name: string): string {
  const place = join(folder, name);
  mkdirSync(join(folder, 'bin'), { recursive: true });
  writeFileSync(join(folder, 'bin', 'aiot'), `#!/bin/sh\nexec node ${join(root, 'bin/run.js')} "$@"\n`, {
    mode: 0o755,
  });
  runStep(`aiot init ${place} --template motor-watch`, {}, folder);
  copyFileSync(join(root, 'templates/iot-kit/routes.yaml'), join(place, 'routes.yaml'));
  return place;
}

function casesIn(place: string, names: string[]): number[] {
  const program = join(root, 'test/support/python/read_junit.py');
  const files = names.map((name) => join(place, 'reports', name));
  const { stdout, stderr } = spawnSync(python('ci'), [program, ...files], { encoding: 'utf8' });
  expect(stderr).toBe('');
  const suites = JSON.parse(stdout) as { tests: number; failures: number }[][];
  expect(suites.flat().every(({ failures }) => failures === 0)).toBe(true);
  return suites.map((each) => each.reduce((sum, { tests }) => sum + tests, 0));
}

describeReal('ci', 'CI steps from templates/ci in a new project', () => {
  it('write reports in the GitHub action that junitparser can read', () => {
    const place = projectWithRoutes('github');
    const { inputs, runs } = parse(read(files[0]));
    const given: Record<string, string> = { routes: 'routes.yaml' };
    const steps = runs.steps as { name: string; env: Record<string, string>; run: string }[];
    for (const { name, env, run } of steps.filter((step) => step.name !== 'Install aiot')) {
      const filled = Object.entries(env).map(([key, value]) => {
        const input = /^\$\{\{ inputs\.(\w+) \}\}$/.exec(value)?.[1] ?? '';
        return [key, given[input] ?? inputs[input].default];
      });
      expect(name).toMatch(/^(Data|Routes|Model)$/);
      runStep(run, Object.fromEntries(filled), place);
    }
    const [, routes, model] = casesIn(place, ['data.xml', 'routes.xml', 'model.xml']);
    expect(routes).toBeGreaterThan(2);
    expect(model).toBe(3);
    expect(readFileSync(join(place, 'reports', 'model.html'), 'utf8')).toContain('<html');
  }, 60_000);

  it('are the same in the GitLab job', () => {
    const words = (text: string) => text.replaceAll(/"?\$REPORTS\/([a-z.]+)"?/g, 'reports/$1');
    const steps = parse(read(files[0])).runs.steps as { name: string; run: string }[];
    const of = (name: string) => words(steps.find((step) => step.name === name)?.run ?? '').split(' && ');
    expect(parse(read(files[1])).aiot.script).toEqual([...of('Data').slice(1), ...of('Model')]);
  });

  it.runIf(process.env.AIOT_LONG)(
    'write reports in the GitLab job that junitparser can read',
    () => {
      const place = projectWithRoutes('gitlab');
      const { before_script, script, variables, artifacts } = parse(read(files[1])).aiot;
      const lines = [...before_script, ...script].filter((line: string) => !line.startsWith('npm install'));
      runStep(lines.join('\n'), variables, place);
      expect(artifacts.reports.junit).toBe('reports/*.xml');
      expect(casesIn(place, ['data.xml', 'model.xml'])[1]).toBe(3);
    },
    60_000,
  );
});
