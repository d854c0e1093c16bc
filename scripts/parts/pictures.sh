#!/bin/sh
# Downloads photographs with and without faces to .venv/pictures, for the tests of the face detector. They are extracted from registry
# packages with those registries' own clients. They are not part of this repository, because some show people who may not have consented.
#   astronaut, camera          one face each (scikit-image on PyPI; NASA's picture and others, see its skimage/data/README)
#   coffee, chelsea, rocket, motorcycle_left   no face (the same package)
#   obama*, biden              one portrait each, two of them cut off (face_recognition on PyPI)
#   sample1 … sample6          groups (@vladmandic/face-api on npm)
# A second run does nothing.
set -eu
cd "$(dirname "$0")/../.."
folder=$(readlink -f .venv)/pictures
wanted='scikit-image 0.26.0, face_recognition 1.3.0, @vladmandic/face-api 1.7.15'
if [ -f "$folder/.stamp" ] && [ "$(cat "$folder/.stamp")" = "$wanted" ]; then
  echo "$folder is ready"
  exit 0
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
rm -rf "$folder"
mkdir -p "$folder"
python=${PYTHON:-python3}
fetch() {
  "$python" -m pip download --quiet --disable-pip-version-check --no-deps --dest "$work" "$@"
}
# Always requests the same wheel, regardless of this machine's Python, because all wheels contain the same pictures.
fetch --only-binary :all: --python-version 3.12 --implementation cp --abi cp312 --platform manylinux_2_28_x86_64 --platform manylinux_2_24_x86_64 \
  --platform manylinux_2_17_x86_64 --platform manylinux2014_x86_64 scikit-image==0.26.0
fetch --no-binary face_recognition face_recognition==1.3.0
(cd "$work" && npm pack --silent @vladmandic/face-api@1.7.15 >/dev/null)
"$python" - "$work" "$folder" <<'PYTHON'
import glob, os, sys, tarfile, zipfile
work, folder = sys.argv[1:]
def keep(name, data):
    with open(os.path.join(folder, os.path.basename(name)), 'wb') as file:
        file.write(data)
with zipfile.ZipFile(glob.glob(work + '/scikit_image-*.whl')[0]) as wheel:
    for name in 'astronaut.png camera.png coffee.png chelsea.png rocket.jpg motorcycle_left.png'.split():
        keep(name, wheel.read('skimage/data/' + name))
for archive, part in (('face_recognition-*.tar.gz', '/tests/test_images/'), ('vladmandic-face-api-*.tgz', '/demo/sample')):
    with tarfile.open(glob.glob(os.path.join(work, archive))[0]) as tar:
        for member in tar.getmembers():
            if member.isfile() and part in '/' + member.name and member.name.endswith(('.jpg', '.png')):
                keep(member.name, tar.extractfile(member).read())
PYTHON
[ "$(find "$folder" -type f | wc -l)" -ge 19 ]
echo "$wanted" >"$folder/.stamp"
echo "$folder is made"
