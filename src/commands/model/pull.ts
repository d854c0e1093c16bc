import { Args } from '@oclif/core';
import * as z from 'zod';
import { contextFor, withClient } from '../../lib/api/context.js';
import { isOciReference, parseOciReference } from '../../lib/api/oci/reference.js';
import { resolveModel } from '../../lib/api/reference.js';
import { AiotCommand } from '../../lib/cli/command.js';
import { ociFlags } from '../../lib/cli/flags/rollouts.js';
import { folderToFill, shared } from '../../lib/cli/flags/shared.js';
import { bold, facts, next } from '../../lib/cli/render/text.js';
import type { PlatformContext } from '../../lib/core/contexts.js';
import { AiotError } from '../../lib/core/errors.js';
import { shellWord } from '../../lib/core/text.js';
import type { TrustRoot } from '../../lib/formats/manifest/envelope.js';
import { guidePulledSchema, pullFromGuide } from '../../lib/model/publish/guide.js';
import { ociPulledSchema, pullFromOci } from '../../lib/model/publish/oci.js';
import { pullModel, pullResultSchema } from '../../lib/model/publish/pull.js';
import { readTrust } from '../../lib/model/publish/verify.js';

export default class ModelPull extends AiotCommand {
  static override summary = 'Download a model version and verify every byte.';
  static override description =
    "Writes the signed bundle NAME-VERSION.aiot and its files, including the .tflite, to the folder. Either all files are written, or none. For an OCI registry, the artifact's signatures are verified against --trust or the platform's trust root; the registry itself is not trusted.";
  static override examples = [
    '<%= config.bin %> <%= command.id %> har@3 --out har-3',
    '<%= config.bin %> <%= command.id %> har@production --out har --trust trust.json --json',
    '<%= config.bin %> <%= command.id %> oci://registry.example/models/motor:3 --out motor-3 --trust trust.json',
  ];
  static override args = {
    model: Args.string({
      required: true,
      description:
        'NAME@VERSION, NAME@latest, NAME@production, oci://HOST/REPOSITORY:TAG, or NAME if the model has only one version. In an architects-guide context: a file name or `latest`.',
    }),
  };
  static override flags = {
    out: folderToFill,
    ...ociFlags,
    context: shared.context,
  };
  static override result = z.union([pullResultSchema, ociPulledSchema, guidePulledSchema]);

  async run() {
    const { args, flags } = await this.input(ModelPull);
    if (!isOciReference(args.model)) {
      const context = await contextFor(flags.context);
      if (context.kind === 'architects-guide') return this.fromGuide(context, args.model, flags.out);
    }
    const trust = await readTrust(flags);
    const result = isOciReference(args.model)
      ? await this.fromRegistry(args.model, flags.out, trust, flags)
      : await withClient(flags.context, async (client) =>
          pullModel({ client, model: await resolveModel(client, args.model), out: flags.out, trust }),
        );
    const { name, version, digest, out, files, unchanged } = result;
    this.print(`${bold(`${name}@${version}`)} is in ${out}${unchanged ? ' (unchanged)' : ''}.`);
    const shown = { digest, files: files.join(', ') };
    this.print(facts(Object.entries(shown)));
    const file = shellWord(`${out}/${files[0]}`);
    this.suggest(next(`aiot model verify ${file}`, `aiot model inspect ${shellWord(`${out}/model.tflite`)}`));
    return result;
  }

  private async fromGuide(context: PlatformContext & { name: string }, model: string, out: string) {
    const pulled = await pullFromGuide(context, model, out);
    this.print(`${bold(pulled.name)} is in ${out}${pulled.unchanged ? ' (unchanged)' : ''}.`);
    this.print(facts([['digest', pulled.digest]]));
    this.caution('This registry has no signatures: anyone with access may have uploaded the model.');
    this.suggest(next(`aiot model inspect ${shellWord(pulled.file)}`));
    return pulled;
  }

  private async fromRegistry(
    registry: string,
    out: string,
    trust: TrustRoot | null,
    flags: { context?: string; 'plain-http': boolean },
  ) {
    const from = parseOciReference(registry);
    const root = trust ?? (await withClient(flags.context, ({ trust }) => trust.get()));
    if (!root) throw new AiotError('AIOT_TRUST_MISSING', 'the platform has no trust root yet');
    return pullFromOci({ from, out, trust: root, plainHttp: flags['plain-http'] });
  }
}
