import { AiotError, hasCode, requireWritable } from '../../../core/index.js';
import {
  checkEndpoint,
  findProgram,
  openSink,
  parseStreamUrl,
  type StreamOptions,
} from '../../../stream/index.js';
import { outputSettings } from '../../output/index.js';
import { checkDevice, nodeOf } from './device.js';
import { type CheckLine, failed, failedBy, ok, warning } from './line.js';

/** Longest wait for a far side, ms. */
const connectTimeoutMs = 5000;

/** Whether what answers go to is there, asked and not written to. */
export async function checkOutputs(urls: readonly string[], stream: StreamOptions): Promise<CheckLine[]> {
  if (urls.length === 0) {
    return [
      warning(
        'output',
        'answers are shown and go nowhere',
        'Name an output: --out URL, or loop.out in aiot.yaml',
      ),
    ];
  }
  const lines = await Promise.all(urls.map((url) => checkOutput(url, stream)));
  return lines.flat();
}

async function checkOutput(text: string, stream: StreamOptions): Promise<CheckLine[]> {
  try {
    const { url, shown } = outputSettings(text, 'change');
    const parts = parseStreamUrl(url);
    switch (parts.scheme) {
      case 'gpio':
        return await checkGpio(url, shown);
      case 'file':
        await requireWritable(parts.path.replace(/[{].*$/s, '') || '.');
        return [ok('output', `${shown} may be written`)];
      case 'exec': {
        const sink = await openSink(url, stream);
        await sink.close();
        return [ok('output', `${sink.endpoint} may be run`)];
      }
      case 'telegram': {
        // A token that is wrong in form is told by this; nothing is sent.
        await (await openSink(url, stream)).close();
        const host = parts.query.base ?? `https://${parts.host || 'api.telegram.org'}`;
        return [await reached(host, shown, stream)];
      }
      default:
        return [await reached(url, shown, stream)];
    }
  } catch (error) {
    return [failedBy('output', error)];
  }
}

async function reached(url: string, shown: string, stream: StreamOptions): Promise<CheckLine> {
  const started = performance.now();
  try {
    const { ok: well, results } = await checkEndpoint(url, { ...stream, connectTimeoutMs });
    const bad = results.find(({ state }) => state === 'failed');
    if (well) return ok('output', `${shown} answers, ${Math.round(performance.now() - started)} ms`);
    const detail = `${shown}: ${bad?.what ?? 'it'} failed: ${bad?.detail ?? 'no answer'}`;
    return failed(
      'output',
      detail,
      `aiot stream check ${parseStreamUrl(url).endpoint} says more. The loop runs without it: answers are kept on disk.`,
    );
  } catch (error) {
    if (hasCode(error, 'AIOT_STREAM_SCHEME'))
      return ok('output', `${shown} (not to be asked before it is written to)`);
    if (error instanceof AiotError) return failed('output', `${shown}: ${error.message}`, error.next);
    throw error;
  }
}

/** Opening the line would drive it. */
async function checkGpio(url: string, shown: string): Promise<CheckLine[]> {
  const node = nodeOf(url) ?? '';
  const permission = await checkDevice(node);
  if (!permission)
    return [failed('output', `${shown}: there is no ${node}`, 'gpiodetect lists the chips of this machine.')];
  if (permission.state === 'failed') return [permission];
  try {
    await findProgram('gpioset');
    return [ok('output', `${shown}: ${node} is there, and gpioset`)];
  } catch {
    return [failed('output', `${shown}: libgpiod's gpioset is not installed here`, 'sudo apt install gpiod')];
  }
}
