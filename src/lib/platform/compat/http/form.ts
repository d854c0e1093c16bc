import type { IncomingMessage } from 'node:http';

/** Longest form taken, bytes. */
const largestForm = 16 * 1024;

/**
 * A field as Go's Request.FormValue finds it: of a form, urlencoded or multipart, before the query; empty when absent.
 * Null: the form is too long or broke off.
 */
export async function formValue(
  request: IncomingMessage,
  query: URLSearchParams,
  field: string,
): Promise<string | null> {
  const body = await bodyOf(request);
  if (body === null) return null;
  const type = request.headers['content-type'] ?? '';
  return (await inForm(body, type, field)) ?? query.get(field) ?? '';
}

async function inForm(body: Buffer, type: string, field: string): Promise<string | null> {
  if (/^application\/x-www-form-urlencoded\b/i.test(type)) {
    return new URLSearchParams(body.toString('utf8')).get(field);
  }
  if (!/^multipart\/form-data\b/i.test(type)) return null;
  // The form is small and whole by now.
  const form = await new Response(new Uint8Array(body), { headers: { 'content-type': type } })
    .formData()
    .catch(() => null);
  const value = form?.get(field);
  return typeof value === 'string' ? value : null;
}

async function bodyOf(request: IncomingMessage): Promise<Buffer | null> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const chunk of request as AsyncIterable<Buffer>) {
      bytes += chunk.length;
      if (bytes > largestForm) return null;
      chunks.push(chunk);
    }
  } catch {
    return null;
  }
  return Buffer.concat(chunks);
}
