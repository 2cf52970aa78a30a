/**
 * Secrets of targets at rest: AES-256-GCM under the master key, with a context (what the secret is
 * for) as additional data, so that a sealed text moved to another row does not open.
 *
 *   v1 . nonce (12 bytes) . ciphertext . tag (16 bytes)      all but `v1` in base64url, unpadded
 *
 * The nonce is random: 2^32 secrets under one key stay far below its limit. Failure never says why.
 */
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';

import { AppError } from '../base/errors.ts';
import { Secret } from '../base/secret.ts';

const ALGORITHM = 'aes-256-gcm';
const VERSION = 'v1';
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const FORM = /^v1\.([\w-]{16})\.([\w-]*)\.([\w-]{22})$/;

/** Seals and opens; holds the master key. */
export class Secrets {
  readonly #key: Secret;

  constructor(masterKey: Secret) {
    if (masterKey.reveal().length !== 32) throw new RangeError('the master key must be 32 bytes');
    this.#key = masterKey;
  }

  /** The sealed text of a secret; only the same context opens it. */
  seal(secret: Secret, context: string): string {
    const nonce = randomBytes(NONCE_BYTES);
    const cipher = createCipheriv(ALGORITHM, this.#key.reveal(), nonce);
    cipher.setAAD(additionalData(context));
    const sealed = Buffer.concat([cipher.update(secret.reveal()), cipher.final()]);
    const parts = [nonce, sealed, cipher.getAuthTag()];
    return [VERSION, ...parts.map((part) => part.toString('base64url'))].join('.');
  }

  /**
   * The secret in a sealed text; `secret-unreadable` for another key, another context or any
   * change.
   */
  open(sealed: string, context: string): Secret {
    const texts = FORM.exec(sealed)?.slice(1) ?? [];
    const [nonce, body, tag] = texts.map((text) => Buffer.from(text, 'base64url'));
    // Base64 has several texts for some bytes; only the one that `seal` writes is good.
    const canonical = [nonce, body, tag].every(
      (part, at) => part?.toString('base64url') === texts[at],
    );
    if (!nonce || !body || tag?.length !== TAG_BYTES || !canonical) throw unreadable(context);
    try {
      const decipher = createDecipheriv(ALGORITHM, this.#key.reveal(), nonce, {
        authTagLength: TAG_BYTES,
      });
      decipher.setAAD(additionalData(context));
      decipher.setAuthTag(tag);
      return new Secret(Buffer.concat([decipher.update(body), decipher.final()]));
    } catch (cause) {
      throw unreadable(context, cause);
    }
  }
}

/**
 * The version is part of what is authenticated, so that a later one cannot be passed off as this.
 */
function additionalData(context: string): Buffer {
  return Buffer.from(`sallyport ${VERSION}\0${context}`, 'utf8');
}

function unreadable(context: string, cause?: unknown): AppError {
  const remedy = 'is keys/master.key the one it was sealed with?';
  const text = `the secret for ${context} cannot be opened; ${remedy}`;
  return new AppError('secret-unreadable', text, { cause });
}
