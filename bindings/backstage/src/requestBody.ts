import type { IncomingMessage } from 'node:http';

/** A body that is longer than it may be. */
export class BodyTooLong extends Error {
  override name = 'BodyTooLong';
}

/** Reads the body of a request, up to so many bytes. */
export async function readBody(
  request: IncomingMessage,
  most: number,
): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > most) {
      throw new BodyTooLong(`the body has more than ${most} bytes`);
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}
