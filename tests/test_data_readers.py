"""Other people's images: folders, tables, data sets in torch's manner, and what is refused."""

import gzip

import numpy as np
import pytest
import torch
import torchvision.datasets
from PIL import Image
from torch.utils.data import DataLoader, Subset, TensorDataset
from torchvision import transforms

from course_lib.data import Digits
from course_lib.recipes import Recipe, train
from course_lib.training.gan import GANRecipe

RANDOM = np.random.default_rng(0)


def save(path, array, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, **options)


def random_bytes(*shape):
    return RANDOM.integers(0, 256, shape, dtype=np.uint8)


@pytest.fixture
def root(tmp_path):
    """Two grey images of 6×5 in each of the subfolders 2 and 10."""
    for name in ("10", "2"):
        for i in range(2):
            save(tmp_path / "mine" / name / f"{i}.png", random_bytes(6, 5))
    return tmp_path / "mine"


def pixels_of(path):
    return torch.from_numpy(np.array(Image.open(path)))


# ---------------------------------------------------------------- folders


def test_subfolders_are_the_classes(root):
    digits = Digits.from_folder(root)
    assert digits.shape == (6, 5)
    assert digits.classes == ("2", "10")  # by value: sorted as text, 10 would come first
    assert digits.labels.tolist() == [0, 0, 1, 1]
    assert torch.equal(digits.images[3], pixels_of(root / "10" / "1.png"))
    assert digits.source == "the folder mine"
    assert digits.name == "the folder mine"


def test_names_that_are_no_numbers_are_sorted(tmp_path):
    for name in ("dog", "cat"):
        save(tmp_path / name / "1.png", random_bytes(4, 4))
    assert Digits.from_folder(tmp_path).classes == ("cat", "dog")


def test_the_test_images_are_numbered_as_the_training_images(root):
    (root / "2").rename(root.parent / "elsewhere")
    assert Digits.from_folder(root).labels.tolist() == [0, 0]
    assert Digits.from_folder(root, classes=("2", "10")).labels.tolist() == [1, 1]
    with pytest.raises(
        ValueError, match="mine contains a subfolder named 10, which is not one of the classes a, b"
    ):
        Digits.from_folder(root, classes=("a", "b"))


def test_a_folder_without_subfolders_is_one_class(root):
    digits = Digits.from_folder(root / "10")
    assert digits.classes == ("10",)
    assert digits.labels.tolist() == [0, 0]


def test_what_archives_and_editors_leave_behind_is_no_class(root):
    for name in (".ipynb_checkpoints", "__MACOSX"):
        save(root / name / "1.png", random_bytes(6, 5))
    (root / "2" / "Thumbs.db").write_bytes(b"x")
    (root / "2" / "._0.png").write_bytes(b"x")
    assert Digits.from_folder(root).classes == ("2", "10")


def test_size_scales_and_cuts_off_what_does_not_fit(tmp_path):
    array = np.zeros((20, 40), np.uint8)
    array[:, 10:30] = 255  # the middle square is white
    save(tmp_path / "a" / "1.png", array)
    digits = Digits.from_folder(tmp_path, size=10)
    assert digits.shape == (10, 10)
    assert digits.images.min() > 230  # bicubic scaling hears a little of what was cut off
    assert Digits.from_folder(tmp_path, size=(4, 8)).shape == (4, 8)
    for wrong in (0, -3, 2.5, "28", (1, 2, 3)):
        with pytest.raises(ValueError, match="size must be a positive integer or a pair"):
            Digits.from_folder(tmp_path, size=wrong)


def test_colour(tmp_path):
    array = random_bytes(6, 5, 3)
    save(tmp_path / "a" / "1.png", array)
    coloured = Digits.from_folder(tmp_path, colour=True)
    assert coloured.shape == (3, 6, 5)
    assert torch.equal(coloured.images[0], torch.from_numpy(array).permute(2, 0, 1))
    grey = Digits.from_folder(tmp_path)
    assert torch.equal(
        grey.images[0], torch.from_numpy(np.array(Image.fromarray(array).convert("L")))
    )


def test_pictures_of_one_bit_and_of_sixteen(tmp_path):
    """Pillow would cut 16 bits off at 255, and draw nearly everything white."""
    save(tmp_path / "a" / "1.png", np.array([[0, 257, 65535]], np.uint16))
    Image.fromarray(np.array([[0, 255, 255]], np.uint8)).convert("1").save(tmp_path / "a" / "2.png")
    assert Digits.from_folder(tmp_path).images.tolist() == [[[0, 1, 255]], [[0, 255, 255]]]


def test_a_photograph_that_lies_on_its_side_is_put_upright(tmp_path):
    picture = Image.fromarray(random_bytes(4, 8))
    exif = picture.getexif()
    exif[0x0112] = 6  # turn by 90 degrees to see it upright
    (tmp_path / "a").mkdir()
    picture.save(tmp_path / "a" / "1.png", exif=exif)
    assert Digits.from_folder(tmp_path).shape == (8, 4)


def test_opaque_pictures_with_alpha_are_read_and_transparent_ones_refused(tmp_path):
    """Ink drawn on a transparent ground is black on black once the ground is dropped."""
    array = random_bytes(4, 4, 4)
    array[..., 3] = 255
    save(tmp_path / "a" / "1.png", array)
    assert torch.equal(
        Digits.from_folder(tmp_path, colour=True).images[0],
        torch.from_numpy(array[..., :3]).permute(2, 0, 1),
    )
    array[1, 1, 3] = 0
    save(tmp_path / "a" / "1.png", array)
    with pytest.raises(
        ValueError, match=r"pixels of a/1\.png are transparent. Put the image on an opaque"
    ):
        Digits.from_folder(tmp_path)


def nested(root):
    save(root / "training" / "0" / "1.png", random_bytes(6, 5))
    return (
        "subfolder training of mine contains nested folders. Pass a folder .* such as mine/training"
    )


def loose(root):
    save(root / "1.png", random_bytes(6, 5))
    return (
        r"mine contains both subfolders and loose images\. "
        "Move the loose images, which have no class"
    )


def empty_class(root):
    (root / "3").mkdir()
    return "The subfolder 3 of mine contains no images. Remove the subfolder"


def other_size(root):
    save(root / "2" / "9.png", random_bytes(7, 5))
    return r"the same size, but 2/0.png is 6×5 and 2/9.png is 7×5. Specify a size"


def truncated(root):
    path = root / "2" / "1.png"
    path.write_bytes(path.read_bytes()[:-40])
    return "2/1.png is truncated, damaged or not an image. Replace or remove the file"


def no_image(root):
    (root / "2" / "1.png").write_text("hello")
    return "2/1.png is truncated, damaged or not an image"


def wide_pixels(root):
    Image.fromarray(np.ones((6, 5), np.float32)).save(root / "2" / "1.tiff")
    return "at most 16 bits per channel, but 2/1.tiff has 32. Convert the image to 8 bits"


@pytest.mark.parametrize(
    "spoil",
    [nested, loose, empty_class, other_size, truncated, no_image, wide_pixels],
    ids=lambda f: f.__name__,
)
def test_what_a_folder_may_not_hold_is_named(root, spoil):
    sentence = spoil(root)
    with pytest.raises(ValueError, match=sentence) as caught:
        Digits.from_folder(root)
    assert "\n" not in str(caught.value)


def test_an_empty_folder_and_none_at_all(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="empty contains neither images nor subfolders"):
        Digits.from_folder(tmp_path / "empty")
    with pytest.raises(FileNotFoundError, match=r"There is no folder .*nowhere"):
        Digits.from_folder(tmp_path / "nowhere")


# ---------------------------------------------------------------- tables


def table(path, images, labels, heading=True, at=0):
    rows = np.insert(images.reshape(len(images), -1).astype(object), at, labels, axis=1)
    lines = [",".join(map(str, row)) for row in rows]
    if heading:
        names = [f"pixel{i}" for i in range(images[0].size)]
        names.insert(at, "label")
        lines.insert(0, ",".join(names))
    text = "\n".join(lines) + "\n"
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


IMAGES, LABELS = random_bytes(6, 4, 4), np.array([3, 0, 1, 2, 1, 3])


@pytest.mark.parametrize("name", ["train.csv", "train.csv.gz"])
@pytest.mark.parametrize(("heading", "at"), [(True, 0), (True, 16), (False, 0)])
def test_kaggles_table(tmp_path, name, heading, at):
    digits = Digits.from_csv(table(tmp_path / name, IMAGES, LABELS, heading, at))
    np.testing.assert_array_equal(digits.images, IMAGES)
    np.testing.assert_array_equal(digits.labels, LABELS)
    assert digits.classes == ("0", "1", "2", "3")
    assert digits.source == name


def test_a_table_of_images_that_are_not_square(tmp_path):
    path = table(tmp_path / "train.csv", IMAGES.reshape(6, 2, 8), LABELS)
    assert Digits.from_csv(path, shape=(2, 8)).shape == (2, 8)
    colour = table(tmp_path / "colour.csv", random_bytes(6, 3, 4, 4), LABELS)
    assert Digits.from_csv(colour, shape=(3, 4, 4)).shape == (3, 4, 4)
    with pytest.raises(
        ValueError,
        match=r"size 6×6 has 36 pixels, .* contains 48 pixels per image. Specify the shape",
    ):
        Digits.from_csv(colour)


def test_labels_of_a_table_are_numbered_and_keep_their_names(tmp_path):
    path = table(tmp_path / "letters.csv", IMAGES, LABELS + 1)
    digits = Digits.from_csv(path)
    assert digits.classes == ("1", "2", "3", "4")
    np.testing.assert_array_equal(digits.labels, LABELS)
    few = table(tmp_path / "few.csv", IMAGES[:2], [4, 2])
    assert Digits.from_csv(few, classes=digits.classes).labels.tolist() == [3, 1]
    clothes = ("shirt", "coat", "bag", "boot")  # names for 0, 1, 2, 3
    named = Digits.from_csv(table(tmp_path / "clothes.csv", IMAGES, LABELS), classes=clothes)
    assert named.classes == clothes
    np.testing.assert_array_equal(named.labels, LABELS)
    with pytest.raises(
        ValueError, match="The label 4 is not one of the 4 classes shirt, coat, bag, boot"
    ):
        Digits.from_csv(path, classes=clothes)


def test_black_and_white_tables_are_not_nearly_black(tmp_path):
    digits = Digits.from_csv(table(tmp_path / "train.csv", IMAGES // 128, LABELS))
    np.testing.assert_array_equal(digits.images, IMAGES // 128 * 255)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "pixel0,pixel1,pixel2,pixel3\n0,1,2,3\n",
            "test.csv has no column named label. Use a file that contains labels",
        ),
        ("", "test.csv contains no images|not a table of numbers"),
        ("label,pixel0\n", "contains no images|not a table of numbers"),
        ("1,2,3,4,5\n1,2,3\n", "is truncated, damaged or not a table of numbers"),
        ("1,2,3,x,5\n", "is truncated, damaged or not a table of numbers"),
        ("1,2,3,4,500\n", "range from 2 to 500, but they must be integers from 0 to 255"),
        ("1,2,3,4,-5\n", "range from -5 to 4"),
        ("0.5,2,3,4,5\n", "labels in test.csv must be whole numbers in the first column"),
    ],
)
def test_what_a_table_may_not_hold_is_named(tmp_path, text, sentence):
    path = tmp_path / "test.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=sentence) as caught:
        Digits.from_csv(path)
    assert "\n" not in str(caught.value)


def test_damaged_and_missing_tables(tmp_path):
    path = table(tmp_path / "train.csv.gz", IMAGES, LABELS)
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(ValueError, match=r"train.csv.gz is truncated, damaged or not a table"):
        Digits.from_csv(path)
    with pytest.raises(FileNotFoundError, match="There is no file"):
        Digits.from_csv(tmp_path / "nothing.csv")


# ---------------------------------------------------------------- data sets in torch's manner


def test_torchvisions_image_folder(tmp_path):
    array = random_bytes(6, 5, 3)
    save(tmp_path / "cat" / "1.png", random_bytes(6, 5, 3))
    save(tmp_path / "dog" / "1.png", array)
    digits = Digits.from_dataset(torchvision.datasets.ImageFolder(tmp_path))
    assert digits.classes == ("cat", "dog")
    assert digits.labels.tolist() == [0, 1]
    assert torch.equal(digits.images[1], torch.from_numpy(array).permute(2, 0, 1))
    assert digits.source == "ImageFolder"
    grey = Digits.from_dataset(torchvision.datasets.ImageFolder(tmp_path), colour=False)
    assert grey.shape == (6, 5)
    small = Digits.from_dataset(torchvision.datasets.ImageFolder(tmp_path), size=4)
    assert small.shape == (3, 4, 4)


def test_tensors_come_back_as_the_bytes_they_were(tmp_path):
    for name in ("cat", "dog"):
        save(tmp_path / name / "1.png", random_bytes(6, 5, 3))
    plain = torchvision.datasets.ImageFolder(tmp_path)
    floats = torchvision.datasets.ImageFolder(tmp_path, transform=transforms.ToTensor())
    assert torch.equal(Digits.from_dataset(floats).images, Digits.from_dataset(plain).images)


@pytest.mark.parametrize(
    "images",
    [
        torch.from_numpy(IMAGES),
        torch.from_numpy(IMAGES)[:, None],
        torch.from_numpy(IMAGES) / 255,
        torch.from_numpy(IMAGES).long(),
        torch.from_numpy(IMAGES).double() / 255,
    ],
)
def test_items_may_be_bytes_or_in_0_1(images):
    digits = Digits.from_dataset(TensorDataset(images, torch.from_numpy(LABELS)))
    np.testing.assert_array_equal(digits.images, IMAGES)
    np.testing.assert_array_equal(digits.labels, LABELS)


def test_truth_values_are_black_and_white():
    pairs = [(image > 128, label) for image, label in zip(IMAGES, LABELS, strict=True)]
    np.testing.assert_array_equal(Digits.from_dataset(pairs).images, (IMAGES > 128) * 255)


def test_a_subset_keeps_the_names_of_the_whole(tmp_path):
    for name in ("cat", "dog"):
        save(tmp_path / name / "1.png", random_bytes(6, 5, 3))
    part = Subset(torchvision.datasets.ImageFolder(tmp_path), [1])
    digits = Digits.from_dataset(part)
    assert digits.classes == ("cat", "dog")
    assert digits.labels.tolist() == [1]


NORMALIZED = TensorDataset(torch.randn(3, 1, 4, 4), torch.zeros(3).long())


class Stream(torch.utils.data.IterableDataset):
    def __iter__(self):
        return iter(())


@pytest.mark.parametrize(
    ("dataset", "sentence"),
    [
        (NORMALIZED, "pixels of image 0 range from .* Remove any normalization"),
        (DataLoader(NORMALIZED), r"A DataLoader cannot be indexed. Pass its \.dataset"),
        (
            torch.zeros(3, 4, 4),
            r"Data of type Tensor has no labels. Pass Digits\(images, labels, source\)",
        ),
        (Stream(), "must be a Digits object or a map-style data set .* not Stream"),
        (None, "must be a Digits object or a map-style data set .* not NoneType"),
        ([], "The data set contains no images"),
        ([(IMAGES[0], "cat")], "label must be an integer, but the label of item 0 is 'cat'"),
        ([(IMAGES[0], 0.5)], "label must be an integer, but the label of item 0 is 0.5"),
        ([(IMAGES[0], torch.eye(3)[0])], "label must be an integer"),
        ([IMAGES[0]], r"must be a pair \(image, label\), but item 0 has type ndarray"),
        ([{"image": IMAGES[0], "label": 1}], "must be a pair .* but item 0 has type dict"),
        (
            [(random_bytes(8, 8, 3), 0)],
            r"The shape of image 0 is \(8, 8, 3\), with the channels last, .* permute",
        ),
        (
            [(random_bytes(16), 0)],
            r"The shape of image 0 is \(16,\), but images must have shape \(H, W\)",
        ),
        ([(IMAGES[0], 0), (random_bytes(4, 5), 0)], "image 0 is 4×4 and image 1 is 4×5"),
        ([(IMAGES[0], -1)], "smallest label is -1"),
    ],
)
def test_what_is_no_set_of_images_with_labels_is_named(dataset, sentence):
    with pytest.raises(ValueError, match=sentence) as caught:
        Digits.from_dataset(dataset)
    assert "\n" not in str(caught.value)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("pictures")
    for label in range(4):
        for i in range(5):
            save(root / str(label) / f"{i}.png", random_bytes(8, 8))
    return torchvision.datasets.ImageFolder(root, transform=transforms.Grayscale())


def test_recipes_train_on_any_data_set(folder):
    recipe = Recipe(config={"latent": 2, "hidden": [8]}, batch_size=10)
    model, _ = train(recipe, folder, epochs=1, quiet=True)
    again, _ = train(recipe, Digits.from_dataset(folder), epochs=1, quiet=True)
    assert model.config.shape == (8, 8)
    for ours, theirs in zip(model.parameters(), again.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_gans_train_on_any_data_set(folder):
    config = {"latent": 2, "hidden": [8], "network": "plain"}
    recipe = GANRecipe(config, batch_size=10)
    gan, _ = train(recipe, folder, epochs=1, quiet=True)
    assert gan.config.shape == (8, 8)


def test_recipes_name_what_is_no_data_set():
    with pytest.raises(ValueError, match=r"A DataLoader cannot be indexed. Pass its \.dataset"):
        train(Recipe(), DataLoader(NORMALIZED), epochs=1)
