/** One packet of SFTP (draft-ietf-secsh-filexfer-02 section 3): its length, type, request id and body. */
import { Writer } from '../../src/wire/buffer.ts';

export function packet(type: number, id: number, body: Buffer): Buffer {
  return new Writer()
    .uint32(5 + body.length)
    .uint8(type)
    .uint32(id)
    .bytes(body)
    .done();
}
