'use strict';

// Signed releases, made without Stagedoor: in-toto, DSSE and a Sigstore bundle, by Node's own Ed25519.

const { createHash, generateKeyPairSync, sign } = require('node:crypto');

const PAYLOAD = 'application/vnd.in-toto+json';

/** A key that signs, and its public half in PEM. */
function newKey() {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  return {
    privateKey,
    pem: publicKey.export({ type: 'spki', format: 'pem' }),
    der: publicKey.export({ type: 'spki', format: 'der' }),
  };
}

const sha256 = bytes => createHash('sha256').update(bytes);

/** Signs policies as a release; returns a row of the table. */
function signedRelease(key, { set, channel, counter, files }) {
  const bundle = Buffer.from(JSON.stringify({ files }));
  const digest = sha256(bundle).digest('hex');
  const statement = {
    _type: 'https://in-toto.io/Statement/v1',
    subject: [{ name: set, digest: { sha256: digest } }],
    predicateType: 'https://github.com/stagedoor/stagedoor/policy-set/v1',
    predicate: {
      set,
      channel,
      counter,
      bytes: bundle.length,
      issued: new Date().toISOString().replace(/\.\d+/, ''),
    },
  };
  const payload = Buffer.from(JSON.stringify(statement));
  const signed = Buffer.concat([
    Buffer.from(`DSSEv1 ${PAYLOAD.length} ${PAYLOAD} ${payload.length} `),
    payload,
  ]);
  const hint = sha256(key.der).digest('base64');
  const envelope = {
    mediaType: 'application/vnd.dev.sigstore.bundle.v0.3+json',
    verificationMaterial: { publicKey: { hint } },
    dsseEnvelope: {
      payload: payload.toString('base64'),
      payloadType: PAYLOAD,
      signatures: [
        { sig: sign(null, signed, key.privateKey).toString('base64') },
      ],
    },
  };
  return {
    set_name: set,
    channel,
    digest: `sha256:${digest}`,
    envelope: Buffer.from(JSON.stringify(envelope)),
    bundle,
  };
}

module.exports = { newKey, signedRelease };
