/** The resources that are entities of the catalog. */
export const ENTITIES = 'catalog-entity';
