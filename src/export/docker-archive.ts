import { TbuildError } from '../base/errors.ts'
import { escapeLikeGo } from '../go/json.ts'
import { type ArchiveSink, writeArchive } from '../tar/archive.ts'
import { familiarImageReference, parseImageReference } from '../values/image-reference.ts'
import { OCI_LAYOUT } from '../values/oci.ts'
import { type Content, type Exported, indexFile } from './content.ts'
import { blobMembers, blobPath, member } from './oci.ts'

/**
 * What `docker load` reads: manifest.json with paths into an OCI layout in the same tar, as `docker save` and BuildKit's docker exporter write it. Old
 * and new Dockers, podman and skopeo take it, layers compressed or not.
 */
export async function exportDockerArchive(content: Content, sink: ArchiveSink, names: readonly string[] = []): Promise<Exported> {
  if (content.layers.length > 1) {
    throw new TbuildError('EXPORT_MULTI_PLATFORM', 'a docker archive holds one platform', {
      hint: 'use -o type=oci for an image of several platforms',
    })
  }
  const manifest = [
    {
      Config: blobPath(content.exported.configDigest),
      RepoTags: names.map((name) => familiarImageReference(parseImageReference(name))),
      Layers: (content.layers[0] ?? []).map((layer) => blobPath(layer.digest)),
    },
  ]
  const members = [
    ...blobMembers(content),
    member('index.json', indexFile(content.entries)),
    member('manifest.json', Buffer.from(escapeLikeGo(JSON.stringify(manifest)))),
    member('oci-layout', Buffer.from(OCI_LAYOUT)),
  ]
  await writeArchive(members, sink)
  return content.exported
}
