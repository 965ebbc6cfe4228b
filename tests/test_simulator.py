"""The simulator: reproducible image by image, right in its physics, and usable for every plane on every scanner."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage
from sklearn.linear_model import RidgeClassifier

from fetalkit.simulator import PLANES, SCANNERS, Spec, simulate
from fetalkit.simulator.beams import beam_grid, scan_converter
from fetalkit.simulator.canvas import Canvas
from fetalkit.simulator.patients import (
    abdominal_circumference,
    biparietal_diameter,
    draw_patient,
    femur_length,
)
from fetalkit.simulator.physics import (
    blur,
    circular_gaussian,
    compress,
    point_spread,
    receive,
    time_gain,
    two_way_loss,
)
from fetalkit.simulator.planes import PAINTERS
from fetalkit.simulator.render import draw_scene
from fetalkit.simulator.spec import stream
from fetalkit.simulator.tissues import BONE, LIVER
from fetalkit.utils.errors import FetalkitError

NAMES = list(SCANNERS)
CONVEX = SCANNERS[NAMES[0]]
EVERY = [Spec(3, 2 * i + j, i, plane, name) for i, plane in enumerate(PLANES) for j, name in enumerate(NAMES)]


def uniform_frame(scanner, depth, paint=None):
    """Envelope, in dB, of reference tissue with what `paint` draws on it: no gain, no haze, no noise."""
    quiet = replace(scanner, noise_db=-300.0, haze_db=-300.0)
    grid = beam_grid(scanner, depth, 128)
    canvas = Canvas(grid, np.zeros((2, *grid.shape), np.float32))
    canvas.fill(LIVER)
    if paint:
        paint(canvas)
    loss = two_way_loss(canvas.loss, scanner.frequency_mhz, grid.spacing)
    rng = np.random.default_rng(0)
    signal = receive(canvas.echo, canvas.mirror, loss, grid, quiet, point_spread(scanner, depth, 128), rng)
    return grid, 20.0 * np.log10(np.hypot(*signal))


def fan_of(name, depth):
    """Pixels of a 128 x 128 image that the scanner fills."""
    return np.diff(scan_converter(SCANNERS[name], depth, 128).indptr).reshape(128, 128) > 0


def view_of(seed, index, patient):
    return draw_scene(Spec(seed, index, patient, "Fetal femur", NAMES[0]), 32)[1]


def test_same_spec_same_bits_whatever_else_is_in_the_call():
    whole = simulate(EVERY, 64)
    np.testing.assert_array_equal(whole, simulate(EVERY, 64))
    np.testing.assert_array_equal(whole[::-1], simulate(EVERY[::-1], 64))
    np.testing.assert_array_equal(whole, np.concatenate([simulate([spec], 64) for spec in EVERY]))


def test_every_number_of_a_spec_matters():
    spec = Spec(0, 5, 7, "Fetal brain", NAMES[0])
    image = simulate([spec], 64)[0]
    changes = {"seed": 1, "index": 6, "patient": 8, "plane": "Fetal femur", "scanner": NAMES[1]}
    for name, value in changes.items():
        assert (simulate([replace(spec, **{name: value})], 64)[0] != image).mean() > 0.1, name


def test_the_global_random_state_is_neither_read_nor_written():
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    simulate(EVERY[:1], 32)
    np.testing.assert_array_equal(before, np.random.get_state()[1])  # noqa: NPY002


@pytest.mark.parametrize("spec", EVERY, ids=lambda spec: f"{spec.plane} {spec.scanner}")
def test_every_plane_on_every_scanner_is_a_grey_fan_on_black(spec):
    (image,) = simulate([spec])
    _, view, _ = draw_scene(spec, 128)
    fan = fan_of(spec.scanner, view.depth_cm)
    assert image.dtype == np.uint8 and image.shape == (128, 128)
    assert image[~fan].max() == 0
    assert 0.35 < fan.mean() < 0.9
    assert image[fan].std() > 8 and 5 < image[fan].mean() < 200


def test_the_maps_of_a_scene_are_finite_single_precision():
    for spec in EVERY:
        canvas, _, contact = draw_scene(spec, 64)
        for field in (canvas.echo, canvas.loss, canvas.mirror, contact):
            assert field.dtype == np.float32 and np.isfinite(field).all()
        assert canvas.loss.min() >= 0.0 and canvas.mirror.min() >= 0.0


def test_a_smaller_image_shows_the_same_scene():
    large, small = simulate(EVERY, 128), simulate(EVERY, 64)
    mean = large.reshape(-1, 64, 2, 64, 2).mean(axis=(2, 4))
    assert np.abs(mean - small).max() <= 1.0  # rounding
    fine = ndimage.gaussian_filter(simulate(EVERY[:1], 256)[0].astype(float), 6)
    coarse = ndimage.gaussian_filter(large[0].astype(float), 3)
    assert np.corrcoef(fine.reshape(128, 2, 128, 2).mean(axis=(1, 3)).ravel(), coarse.ravel())[0, 1] > 0.95


def test_every_scanner_has_a_fan_of_its_own():
    faces = {}
    for name in NAMES:
        for depth in SCANNERS[name].depths_cm:
            fan = fan_of(name, depth)
            np.testing.assert_array_equal(fan, fan[:, ::-1])  # the probe looks straight down
            widths = fan.sum(axis=1)[fan.any(axis=1)]
            assert widths[len(widths) // 2] > 1.2 * widths[: len(widths) // 8].max()  # and the fan opens downwards
        face = np.argwhere(fan_of(name, 10.0))[:6, 1]  # the corners of the face are the highest pixels
        faces[name] = np.ptp(face)
    assert len(set(faces.values())) == len(NAMES)
    assert faces["scanner-a convex"] > 2 * faces["scanner-b sector"]


def test_scanners_differ_in_more_than_their_fan():
    settings = [(scanner.frequency_mhz, scanner.white_db, scanner.dynamic_range_db) for scanner in SCANNERS.values()]
    assert len(NAMES) >= 2
    for column in zip(*settings, strict=True):
        assert len(set(column)) == len(NAMES)


@pytest.mark.slow
def test_a_network_has_something_to_learn_and_something_to_miss():
    specs = [Spec(0, 6 * i + j, i, plane, NAMES[i % 2]) for i in range(80) for j, plane in enumerate(PLANES)]
    pixels = simulate(specs, 32).reshape(len(specs), -1)
    labels = np.array([spec.plane for spec in specs])
    linear = RidgeClassifier(1e7).fit(pixels[:300], labels[:300])
    assert 0.4 < linear.score(pixels[300:], labels[300:]) < 0.9  # on 30 other patients; chance is 0.17


def test_a_patient_stays_the_same_and_patients_differ():
    assert draw_patient(0, 4) == draw_patient(0, 4)
    crowd = [draw_patient(0, number) for number in range(300)]
    assert len(set(crowd)) == 300 and draw_patient(1, 4) != draw_patient(0, 4)
    weeks = np.array([patient.weeks for patient in crowd])
    assert 17.0 <= weeks.min() < 20.0 and 33.0 < weeks.max() <= 38.0
    thin, thick = (crowd.index(pick(crowd, key=lambda patient: patient.wall_cm)) for pick in (min, max))
    for number in (thin, thick):
        walls, sizes = zip(
            *((view.wall, view.size) for view in (view_of(0, index, number) for index in range(12))), strict=True
        )
        patient = crowd[number]
        assert 0.8 * patient.wall_cm <= min(walls) < max(walls) <= 1.2 * patient.wall_cm
        assert np.std(sizes) < 0.1 and abs(np.mean(sizes) - patient.size) < 0.06


@pytest.mark.parametrize(
    ("plane", "landmarks"),
    [
        ("Fetal abdomen", {"cavity", "bone"}),
        ("Fetal brain", {"ring"}),
        ("Fetal femur", {"bone", "rod"}),
        ("Fetal thorax", {"cavity", "bone"}),
        ("Maternal cervix", {"canal"}),
    ],
)
def test_planes_have_their_landmarks(plane, landmarks):
    def scene(index):
        canvas, view, _ = draw_scene(Spec(1, index, index, plane, NAMES[0]), 128)
        extent = PAINTERS[plane].extent(draw_patient(1, index), view.size)
        away = np.hypot(canvas.grid.x - view.x, canvas.grid.y - view.middle) / extent
        return {
            "cavity": (canvas.echo[away < 0.6] < -20.0).any(),  # stomach, heart, vessels
            "canal": (canvas.echo[away < 0.6] < -9.0).any(),
            "bone": (canvas.loss[away < 0.8] > 4.0).any(),
            "rod": canvas.mirror[away < 0.5].max() > 3.0,
            "ring": canvas.mirror[(away > 0.7) & (away < 1.4)].max() > 3.0,
        }

    scenes = [scene(index) for index in range(25)]
    for landmark in landmarks:
        assert np.mean([scene[landmark] for scene in scenes]) >= 0.8, landmark  # a poor slice may miss one


def test_growth_follows_the_published_regressions():
    assert biparietal_diameter(20.0) == pytest.approx(4.6, abs=0.15)
    assert abdominal_circumference(20.0) == pytest.approx(14.9, abs=0.4)
    assert femur_length(20.0) == pytest.approx(3.2, abs=0.15)
    assert femur_length(36.0) == pytest.approx(7.0, abs=0.2)


@pytest.mark.parametrize("name", NAMES)
def test_speckle_is_fully_developed(name):
    scanner = SCANNERS[name]
    depth = scanner.depths_cm[2]
    spread = point_spread(scanner, depth, 128)
    rng = stream(0, 9, 0)
    envelopes = [np.hypot(*blur(circular_gaussian(rng, (192, 128)), spread)) for _ in range(12)]
    envelope = np.stack(envelopes)
    assert envelope.mean() / envelope.std() == pytest.approx(np.sqrt(np.pi / (4.0 - np.pi)), rel=0.02)  # 1.91
    # Unit energy at every depth and beam, so neither the edges nor the focus look brighter by themselves.
    power = ndimage.uniform_filter((envelope**2).mean(axis=0), 24, mode="mirror")
    assert np.abs(power - 1.0).max() < 0.25


@pytest.mark.parametrize("name", NAMES)
def test_speckle_stays_rayleigh_through_losses_and_gain(name):
    scanner = SCANNERS[name]
    grid, level = uniform_frame(scanner, scanner.depths_cm[0])
    even = level + 2.0 * LIVER.loss * scanner.frequency_mhz * grid.depth
    envelope = 10.0 ** (even / 20.0)
    assert envelope.mean() / envelope.std() == pytest.approx(1.91, abs=0.08)


@pytest.mark.parametrize("name", NAMES)
def test_the_point_spread_has_no_subnormal_weights(name):
    # They change no pixel and make the simulator less than half as fast.
    spread = point_spread(SCANNERS[name], SCANNERS[name].depths_cm[0], 128)
    for weights in (spread.axial, spread.lateral):
        assert not ((weights > 0) & (weights < np.finfo(np.float32).tiny)).any()


def test_the_beam_has_its_waist_around_the_focus():
    depth = 17.5
    spread = point_spread(CONVEX, depth, 128)
    point = np.zeros((2, 192, 128), np.float32)
    point[0, 8::16, 64] = 1.0  # one point in each zone
    echo = blur(point, spread)[0, 8::16]
    middle = np.arange(8, 192, 16) / 191 * depth
    offset = (np.arange(128) - 64) * np.deg2rad(CONVEX.sector_deg) / 127
    angle = np.sqrt((echo * offset**2).sum(axis=1) / echo.sum(axis=1))
    width = angle * (CONVEX.radius_cm + middle)
    waist = width.argmin()
    assert 0.4 * CONVEX.focus_cm < middle[waist] < 1.1 * CONVEX.focus_cm  # diffraction draws it towards the probe
    assert width[0] > 1.1 * width[waist] and width[-1] > 1.5 * width[waist]


def test_loss_of_uniform_tissue_has_its_closed_form():
    coefficient = np.full((50, 3), 0.5, np.float32)
    depth = np.arange(50) * 0.1
    expected = np.repeat((2.0 * 0.5 * 3.5 * depth)[:, None], 3, axis=1)
    np.testing.assert_allclose(two_way_loss(coefficient, 3.5, 0.1), expected, rtol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_attenuation_slope_of_the_envelope(name):
    scanner = SCANNERS[name]
    grid, level = uniform_frame(scanner, scanner.depths_cm[2])
    slope = np.polyfit(grid.depth[:, 0], level.mean(axis=1), 1)[0]
    assert slope == pytest.approx(-2.0 * LIVER.loss * scanner.frequency_mhz, rel=0.03)


def test_the_operator_evens_out_the_loss():
    grid, _ = uniform_frame(CONVEX, 10.0)
    loss = two_way_loss(np.full(grid.shape, 0.5, np.float32), CONVEX.frequency_mhz, grid.spacing)
    left = loss - time_gain(loss, grid, CONVEX, np.zeros(6))
    assert left.max() - left.min() < 0.4 * (loss.max() - loss.min())
    light, heavy, shadow, darker = (time_gain(loss * k, grid, CONVEX, np.zeros(6))[-1, 0] for k in (0.8, 1.2, 3.0, 4.0))
    assert heavy > light + 2.0  # more gain for a patient who weakens the beam more
    assert shadow == darker  # but none for a shadow


def test_bone_throws_a_shadow():
    def paint(canvas):
        canvas.frame(0.0, 4.0).rod((-1.0, 0.0), (1.0, 0.0), 0.15, BONE, mirror=9.0)

    grid, level = uniform_frame(CONVEX, 10.0, paint)
    behind, above = (grid.y > 5.0) & (grid.y < 9.0), grid.y < 3.5
    shaded = np.abs(grid.angle) < 0.07 + 0.0 * grid.y
    beside = (np.abs(grid.angle) > 0.25) & (np.abs(grid.angle) < 0.5) & (grid.y > 0)
    assert level[behind & beside].mean() - level[behind & shaded].mean() > 15.0
    assert abs(level[above & beside].mean() - level[above & shaded].mean()) < 2.0
    on_bone = shaded & (np.abs(grid.y - 4.0) < 0.15)
    assert level[on_bone].max() - level[above].mean() > 10.0


def test_a_surface_is_brighter_when_it_faces_the_beam():
    def echo(angle):
        def paint(canvas):
            canvas.frame(0.0, 5.0, angle).rod((-1.0, 0.0), (1.0, 0.0), 0.1, LIVER, mirror=8.0)

        grid, level = uniform_frame(CONVEX, 10.0, paint)
        return level[np.hypot(grid.x, grid.y - 5.0) < 0.2].max()

    assert echo(0.0) > echo(0.6) + 4.0


def test_compression_spans_the_dynamic_range():
    level_db = np.array([[CONVEX.white_db + 5, CONVEX.white_db, CONVEX.white_db - CONVEX.dynamic_range_db, -300.0]])
    amplitude = (10.0 ** (level_db / 20.0)).astype(np.float32)
    grey = compress(np.stack([amplitude, np.zeros_like(amplitude)]), np.zeros((1, 1), np.float32), CONVEX)
    np.testing.assert_allclose(grey, [[255.0, 255.0, 0.0, 0.0]], atol=0.01)


@pytest.mark.parametrize("name", NAMES)
def test_scan_conversion_keeps_a_constant(name):
    depth = SCANNERS[name].depths_cm[0]
    matrix = scan_converter(SCANNERS[name], depth, 128)
    whole = ndimage.binary_erosion(fan_of(name, depth), iterations=2)
    ones = (matrix @ np.ones(matrix.shape[1], np.float32)).reshape(128, 128)
    np.testing.assert_allclose(ones[whole], 1.0, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"plane": "Fetal toe"}, "unknown plane 'Fetal toe'"),
        ({"scanner": "scanner-z"}, "unknown scanner 'scanner-z'"),
        ({"seed": -1}, "seed of a simulated image"),
        ({"index": 1.5}, "index of a simulated image"),
        ({"patient": -3}, "patient of a simulated image"),
    ],
)
def test_a_bad_spec_is_one_clear_line(change, message):
    with pytest.raises(FetalkitError, match=message) as caught:
        simulate([replace(EVERY[0], **change)])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("size", [0, 8, 513, 64.0])
def test_a_bad_size_is_one_clear_line(size):
    with pytest.raises(FetalkitError, match="size of a simulated image"):
        simulate(EVERY[:1], size)


def test_no_specs_no_images():
    assert simulate([], 64).shape == (0, 64, 64)
