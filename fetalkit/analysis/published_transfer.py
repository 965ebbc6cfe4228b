"""What others have reached on the African images, and what their classifiers had seen.

Numbers are copied from the places named; a number that could be seen in no such place is not here. What is known of the target
is said in the levels of `fetalkit.experiments.transfer.methods`. None of these is a rival on equal terms: all had seen more
images, at a higher resolution, many with networks that had been trained on other images before.
"""

import pandas as pd

# Numbers are in percent, "" where none is given; F1 and recall are as the study defines them.
COLUMNS = ["study", "method", "had seen", "known of the target", "tested on", "accuracy", "F1", "recall", "source"]
COLUMNS += ["checked in"]

_REAL = "6,148 Spanish images of 612 patients"
_BOTH = "1,150 Spanish images of 486 patients, 5,000 synthetic ones of Stable Diffusion with LoRA"
_TABLE = "the authors' repository (13204942/FU-LoRA, assests/overall_performance.csv)"
_BENCHMARK = "arXiv 2605.27796"
_ABSTRACT = "the abstract"


def _fu_lora(method: str, seen: str, accuracy: str, f1: str, recall: str) -> tuple[str, ...]:
    place = "African test set (233 images)"
    return "FU-LoRA 2024", method, seen, "none", place, accuracy, f1, recall, "arXiv 2407.20072", _TABLE


PUBLISHED = pd.DataFrame(
    [
        _fu_lora("five networks, real images", _REAL, "54.9 to 68.7", "61.5 to 78.1", "51.2 to 68.9"),
        _fu_lora("the same with augmentation", _REAL, "59.7 to 74.7", "70.9 to 82.2", "59.3 to 72.8"),
        _fu_lora("real and synthetic images", _BOTH, "64.8 to 75.5", "70.0 to 83.4", "60.2 to 73.4"),
        _fu_lora("the same with augmentation", _BOTH, "73.0 to 82.4", "75.9 to 86.5", "68.8 to 81.6"),
        (
            "Sendra-Balcells et al. 2023", "transfer learning",
            "Spanish images of 1,792 patients, and images of African patients", "labelled",
            "African patients of five centres with 25 each", "", "", "92 ± 4", "doi 10.1038/s41598-023-29490-3", _ABSTRACT,
        ),
        (
            "benchmark of foundation models 2026", "FetalCLIP, linear probe",
            "210,035 fetal images with text before; then Spanish images", "none", "an African cohort", "", "97.3", "",
            _BENCHMARK, _ABSTRACT,
        ),
        (
            "benchmark of foundation models 2026", "USFM, fine-tuned",
            "over two million ultrasound images of many organs before, without labels; then Spanish images", "none",
            "an African cohort", "", "95.2", "", _BENCHMARK, _ABSTRACT,
        ),
    ],
    columns=COLUMNS,
)  # fmt: skip
REFERENCES = [
    "FU-LoRA: Wang F, Whelan K, Silvestre G, Curran KM. Generative Diffusion Model Bootstraps Zero-shot Classification of "
    "Fetal Ultrasound Images In Underrepresented African Populations. arXiv 2407.20072 (2024).",
    "Sendra-Balcells C, Campello VM, Torrents-Barrena J, et al. Generalisability of fetal ultrasound deep learning models to "
    "low-resource imaging settings in five African countries. Scientific Reports 13, 2728 (2023).",
    "Benchmark: Benchmarking Ultrasound Foundation Models for Fetal Plane Classification. arXiv 2605.27796 (2026).",
    "FetalCLIP: Maani F, Saeed N, Saleem T, et al. FetalCLIP: A Visual-Language Foundation Model for Fetal Ultrasound Image "
    "Analysis. arXiv 2502.14807 (2025). Whether it had seen images of these two data sets before was not checked.",
    "USFM: Jiao J, Zhou J, Li X, et al. USFM: A Universal Ultrasound Foundation Model Generalized to Tasks and Organs towards "
    "Label Efficient Image Analysis. Medical Image Analysis (2024), arXiv 2401.00153. The same holds for it.",
]
