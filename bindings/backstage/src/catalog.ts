import type { AuthService } from '@backstage/backend-plugin-api';
import type { CatalogService } from '@backstage/plugin-catalog-node';
import type { BackstageOwner } from '@stagedoor/node';

/** So many entities are asked for at once. */
const PAGE = 500;

/** What it takes to read the catalog. */
export interface CatalogAccess {
  readonly catalog: CatalogService;
  readonly auth: AuthService;
}

type CatalogEntity = Awaited<
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

/** Returns the references of all entities of a kind, sorted. */
export async function referencesOfKind(
  kind: string,
  access: CatalogAccess,
): Promise<string[]> {
  const references: string[] = [];
  for await (const entity of entitiesOfKind(kind, access)) {
    references.push(entityRef(entity).toLowerCase());
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

export function entityRef({
  kind,
  metadata,
}: Pick<CatalogEntity, 'kind' | 'metadata'>): string {
  return `${kind}:${metadata.namespace ?? 'default'}/${metadata.name}`;
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
