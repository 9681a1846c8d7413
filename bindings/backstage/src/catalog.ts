import type {
  AuthService,
  BackstageCredentials,
} from '@backstage/backend-plugin-api';
import type { CatalogService } from '@backstage/plugin-catalog-node';
import type { BackstageOwner } from '@stagedoor/node';

/** So many entities are asked for at once. */
const PAGE = 500;

/** What it takes to read the catalog. */
export interface CatalogAccess {
  readonly catalog: CatalogService;
  readonly auth: AuthService;
}

export type CatalogEntity = Awaited<
  ReturnType<CatalogService['queryEntities']>
>['items'][number];

/** Reads all entities of a kind: their names and relations. */
export async function* entitiesOfKind(
  kind: string,
  { catalog, auth }: CatalogAccess,
): AsyncGenerator<CatalogEntity> {
  const credentials = await auth.getOwnServiceCredentials();
  let cursor: string | undefined;
  do {
    const page = await catalog.queryEntities(
      cursor
        ? { cursor, limit: PAGE }
        : {
            filter: { kind },
            fields: [
              'apiVersion',
              'kind',
              'metadata.name',
              'metadata.namespace',
              'relations',
            ],
            limit: PAGE,
          },
      { credentials },
    );
    yield* page.items;
    cursor = page.pageInfo.nextCursor;
  } while (cursor);
}

/** Reads all users and groups. */
export async function usersAndGroups(
  access: CatalogAccess,
): Promise<CatalogEntity[]> {
  const people: CatalogEntity[] = [];
  for (const kind of ['user', 'group']) {
    for await (const entity of entitiesOfKind(kind, access)) {
      people.push(entity);
    }
  }
  return people;
}

/** What somebody may read of the catalog. */
export interface EntityList {
  readonly entities: readonly CatalogEntity[];
  /** How many there are beside these. */
  readonly left: number;
}

/** Reads up to so many entities as somebody may read them: names, specifications, relations. */
export async function readableEntities(
  catalog: CatalogService,
  credentials: BackstageCredentials,
  most: number,
  filter?: Record<string, string>,
): Promise<EntityList> {
  const entities: CatalogEntity[] = [];
  let [cursor, total] = ['', 0];
  do {
    const limit = Math.min(PAGE, most - entities.length);
    const page = await catalog.queryEntities(
      cursor ? { cursor, limit } : { ...(filter && { filter }), limit },
      { credentials },
    );
    entities.push(...page.items);
    total = page.totalItems;
    cursor = page.pageInfo.nextCursor ?? '';
  } while (cursor && entities.length < most);
  return { entities, left: Math.max(0, total - entities.length) };
}

/** Returns the references of all entities of a kind, sorted. */
export async function referencesOfKind(
  kind: string,
  access: CatalogAccess,
): Promise<string[]> {
  const references: string[] = [];
  for await (const entity of entitiesOfKind(kind, access)) {
    references.push(entityRef(entity));
  }
  return references.sort();
}

/** Returns how many entities each owner has. */
export async function ownerCounts({
  catalog,
  auth,
}: CatalogAccess): Promise<BackstageOwner[]> {
  const credentials = await auth.getOwnServiceCredentials();
  const owners = 'relations.ownedBy';
  const { facets } = await catalog.getEntityFacets(
    { facets: [owners] },
    { credentials },
  );
  return (facets[owners] ?? []).map(({ value, count }) => ({
    entityRef: value,
    count,
  }));
}

/** Returns an entity's reference, in lower case as Backstage keeps it. */
export function entityRef({
  kind,
  metadata,
}: Pick<CatalogEntity, 'kind' | 'metadata'>): string {
  const { namespace = 'default', name } = metadata;
  return `${kind}:${namespace}/${name}`.toLowerCase();
}

/** Returns what an entity's relations of a type lead to. */
export function targets(
  { relations }: Pick<CatalogEntity, 'relations'>,
  type: string,
): string[] {
  return (relations ?? [])
    .filter(relation => relation.type === type)
    .map(({ targetRef }) => targetRef);
}
