import { afterEach, expect, it } from 'vitest';
import { openSink, openSource } from '../../../src/lib/stream/open.js';
import { runProgram } from '../../support/programs.js';
import { describeReal, python } from '../../support/real.js';
import { startHttp } from './servers.js';

const secret = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw';
const ending: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const end of ending.splice(0).reverse()) await end();
});

describeReal('streams', 'signatures of the standardwebhooks package from PyPI', () => {
  it('verify our POSTs, and fail if a byte changes', async () => {
    const server = await startHttp((_, response) => response.writeHead(200).end());
    ending.push(server.stop);
    const sink = await openSink(server.url, { secret });
    await sink.write([{ topic: 't', payload: Buffer.from('{"temperature": 81.5, "who": "ü"}') }]);
    await sink.close();
    const [{ headers, body }] = server.heard as [(typeof server.heard)[number]];
    const script = `
import json, sys
from standardwebhooks.webhooks import Webhook
given = json.loads(sys.argv[1])
hook = Webhook(given["secret"])
print(hook.verify(given["body"], given["headers"])["temperature"])
try:
    hook.verify(given["body"].replace("81", "82"), given["headers"])
    print("taken")
except Exception as error:
    print(type(error).__name__)
`;
    const given = { secret, body: body.toString(), headers: { ...headers } };
    const { stdout, stderr } = await runProgram(python('streams'), ['-c', script, JSON.stringify(given)]);
    expect(stdout, stderr).toBe('81.5\nWebhookVerificationError\n');
  });

  it('are accepted by our server, which rejects others', async () => {
    const source = await openSource('http://127.0.0.1:0/hook', { secret });
    ending.push(() => source.close());
    const script = `
import sys, datetime, urllib.request, urllib.error
from standardwebhooks.webhooks import Webhook
url, secret = sys.argv[1:]
body = '{"a": 1}'
def post(key, body, minutes=0):
    at = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(minutes=minutes)
    headers = {"webhook-id": "msg_1", "webhook-timestamp": str(int(at.timestamp())), "webhook-signature": Webhook(key).sign("msg_1", at, '{"a": 1}')}
    try:
        return urllib.request.urlopen(urllib.request.Request(url, body.encode(), headers)).status
    except urllib.error.HTTPError as error:
        return error.code
print(post(secret, body), post(secret, '{"a": 2}'), post("whsec_b3RoZXI=", body), post(secret, body, -10))
`;
    const run = runProgram(python('streams'), ['-c', script, `${source.endpoint}/hook`, secret]);
    const taken: string[] = [];
    const reading = (async () => {
      for await (const batch of source) {
        for (const delivery of batch) {
          taken.push(Buffer.from(delivery.message.payload).toString());
          delivery.ack();
        }
      }
    })();
    const { stdout, stderr } = await run;
    expect(stdout, stderr).toBe('200 401 401 401\n');
    await source.close();
    await reading;
    expect(taken).toEqual(['{"a": 1}']);
  });
});
