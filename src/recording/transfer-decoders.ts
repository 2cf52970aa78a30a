/**
 * Which decoder follows a channel: decided by the request that said what the channel is, so a trail alone is enough to
 * know it. A new protocol of file transfers has its line here.
 */
import type { RequestFields } from '../wire/channel-request.ts';
import { scpDecoder } from '../wire/scp.ts';
import { SftpDecoder } from '../wire/sftp.ts';
import type { TransferDecoder, TransferSink } from '../wire/transfer.ts';

/** OpenSSH's `sftp -s`: the server as a command, perhaps through sudo. */
const SFTP_SERVER = /(?:^|[\s/])sftp-server(?:\s|$)/;

/** The decoder of what a channel was asked to be; undefined if it moves no files that we can follow. */
export function decoderOf(request: RequestFields, sink: TransferSink): TransferDecoder | undefined {
  if (request.type === 'subsystem') {
    return request.name.toString('latin1') === 'sftp' ? new SftpDecoder(sink) : undefined;
  }
  if (request.type !== 'exec') return undefined;
  const { command } = request;
  if (SFTP_SERVER.test(command.toString('latin1'))) return new SftpDecoder(sink);
  return scpDecoder(command, sink);
}

/**
 * Whether a channel is worth following, from what its rows say of it: its kind, and its command as printable text. The
 * trail decides; this only keeps the others from being read.
 */
export function mayMoveFiles(kind: string, command: string): boolean {
  return kind === 'sftp' || kind === 'scp' || (kind === 'exec' && TOOLS.test(command));
}

const TOOLS = /(?:^|[\s/])(?:sftp-server|scp)(?:\s|$)/;
