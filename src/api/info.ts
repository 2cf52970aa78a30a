/**
 * What the gate says of itself (SPS contract, section 11): about, set-up, its one node, and the tree of the
 * configuration. A little of it is for anybody; all of it for who is logged in.
 */
import { z } from '../config/schema.ts';
import { VERSION } from '../base/version.ts';
import { childrenOf, inner, itemShape, metaOf, metaShape, nodeMeta } from './meta.ts';
import { ApiError } from './errors.ts';
import { route } from './route.ts';
import type { Route } from './route.ts';

/** What the machine under a node is like now. */
export interface NodeHealth {
  /** Per cent. */
  readonly memory: number;
  readonly disk: number;
  readonly swap: number;
  readonly load1: number;
  readonly load5: number;
  readonly load15: number;
  readonly sessions: Readonly<Record<string, number>>;
  readonly total_sessions: number;
}

export interface InfoOptions {
  readonly hostname: string;
  readonly domain: string;
  /** UUID of this node, the same after a restart. */
  readonly node: string;
  readonly address: string;
  /** The number and digest of the newest commit. */
  readonly commit: () => Promise<{ readonly number: number; readonly digest: string }>;
  readonly health: () => Promise<NodeHealth>;
  /** Seconds since 1970. */
  readonly nowSeconds: () => number;
}

const STATUS = '/api/cluster/status';
const NODES = '/api/cluster/nodes';
const anything = z.looseObject({});
const bodyShape = z.strictObject({ body: anything, key: z.string(), meta: metaShape });
const listShape = z.strictObject({ items: z.array(anything), meta: metaShape });
const basic = { object: '/special/basic', permission: 'read' } as const;

export function infoRoutes(options: InfoOptions): Route[] {
  return [...about(options), ...cluster(options), ...tree()];
}

function about({ hostname, domain, commit }: InfoOptions): Route[] {
  return [
    route({
      method: 'GET',
      path: '/api',
      summary: 'What there is',
      access: 'login',
      reply: z.strictObject({ items: z.array(itemShape), meta: metaShape }),
      handle: () => ({
        items: [
          'active-sessions',
          'audit',
          'authentication',
          'cluster',
          'configuration',
          'info',
          'setup',
          'transaction',
        ].map((key) => ({ key, meta: { href: `/api/${key}` } })),
        meta: metaOf('/api'),
      }),
    }),
    route({
      method: 'GET',
      path: '/api/info',
      summary: 'About this gate',
      access: 'open',
      reply: bodyShape,
      handle: async ({ caller }) => {
        const open = {
          domainname: domain,
          hostname,
          nickname: 'Sallyport',
          plugin_sdk_version: null,
          support_link: null,
        };
        if (!caller) return { body: open, key: 'about_info', meta: metaOf('/api/info') };
        const { digest } = await commit();
        const more = {
          analytics_enabled: false,
          build_date: null,
          config_hash: digest,
          firmware_version: VERSION,
          roles: ['central-management'],
          version: VERSION,
        };
        return { body: { ...open, ...more }, key: 'about_info', meta: metaOf('/api/info') };
      },
    }),
    route({
      method: 'GET',
      path: '/api/setup',
      summary: 'Whether the gate was set up; it was, or it would not run',
      access: 'open',
      reply: z.strictObject({ meta: metaShape, status: z.literal('completed') }),
      handle: () => ({
        meta: { ...metaOf('/api/setup'), remaining_seconds: 0, eula: 'Apache License 2.0' },
        status: 'completed',
      }),
    }),
    route({
      method: 'GET',
      path: '/api/firmware/slots',
      summary: 'The version that runs',
      access: basic,
      reply: z.strictObject({ body: anything, items: z.array(anything), meta: metaShape }),
      handle: () => {
        const slot = { version: VERSION, current: true };
        const href = '/api/firmware/slots';
        return {
          body: slot,
          items: [{ body: slot, key: '1', meta: { href: `${href}/1` } }],
          meta: metaOf(href),
        };
      },
    }),
    route({
      method: 'GET',
      path: '/api/configuration/management/email',
      summary: 'Mail settings; this gate sends none',
      access: basic,
      reply: bodyShape,
      handle: ({ path }) => ({
        body: {
          admin_address: null,
          alerting_address: null,
          reporting_address: null,
          sender_address: null,
          smtp_auth: null,
          smtp_encryption: null,
          smtp_server: null,
        },
        key: 'email',
        meta: nodeMeta(path),
      }),
    }),
  ];
}

function cluster({ hostname, domain, node, address, health, nowSeconds }: InfoOptions): Route[] {
  const fqdn = domain === '' ? hostname : `${hostname}.${domain}`;
  const links = { configuration: `${NODES}/${node}`, href: `${STATUS}/${node}` };
  const state = async (): Promise<object> => ({
    key: node,
    fqdn,
    health_status: await health(),
    last_seen: nowSeconds(),
    sync_status: 'n/a',
    configuration_sync: {
      last_updated: null,
      last_checked: null,
      downloaded_xml_hash: null,
      issues: { warnings: [] },
    },
  });
  const body = { address, roles: ['central-management'] };
  const isThis = (id: string | undefined): void => {
    if (id !== node) throw new ApiError('NotFound', 'There is no such node.');
  };
  return [
    route({
      method: 'GET',
      path: '/api/cluster',
      summary: 'What there is of the cluster',
      access: basic,
      reply: z.strictObject({ items: z.array(itemShape), meta: metaShape }),
      handle: () => ({
        items: ['nodes', 'status'].map((key) => ({ key, meta: { href: `/api/cluster/${key}` } })),
        meta: metaOf('/api/cluster'),
      }),
    }),
    route({
      method: 'GET',
      path: STATUS,
      summary: 'The nodes and how they are; one for now',
      access: basic,
      reply: listShape,
      handle: async () => ({
        items: [{ ...(await state()), meta: links }],
        meta: { ...metaOf(STATUS), self: `${STATUS}/${node}` },
      }),
    }),
    route({
      method: 'GET',
      path: `${STATUS}/:id`,
      summary: 'How a node is',
      access: basic,
      reply: anything,
      handle: async ({ params }) => {
        isThis(params['id']);
        return { ...(await state()), meta: { ...metaOf(`${STATUS}/${node}`), ...links } };
      },
    }),
    route({
      method: 'GET',
      path: NODES,
      summary: 'The nodes and their roles',
      access: basic,
      reply: listShape,
      handle: () => ({
        items: [{ body, key: node, meta: { href: `${NODES}/${node}` } }],
        meta: metaOf(NODES),
      }),
    }),
    route({
      method: 'GET',
      path: `${NODES}/:id`,
      summary: 'The roles of a node',
      access: basic,
      reply: bodyShape,
      handle: ({ params }) => {
        isThis(params['id']);
        return { body, key: node, meta: metaOf(`${NODES}/${node}`) };
      },
    }),
  ];
}

/** The inner nodes of the configuration: what lies below each. */
function tree(): Route[] {
  return inner().map((path) =>
    route({
      method: 'GET',
      path,
      summary: `What lies below ${path}`,
      access: path.includes('/aaa') ? { object: '/special/auth', permission: 'read' } : 'login',
      reply: z.strictObject({ items: z.array(itemShape), meta: metaShape }),
      handle: () => ({
        items: (childrenOf(path) ?? []).map((key) => ({ key, meta: { href: `${path}/${key}` } })),
        meta: nodeMeta(path),
      }),
    }),
  );
}
