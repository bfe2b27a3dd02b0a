from setuptools import find_packages, setup

package_name = "jack_trainer"

setup(
    name=package_name,
    version="0.1.0",
    packages=find_packages(exclude=["test"]),
    package_data={package_name: ["py.typed", "report.css"]},
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{package_name}"]),
        (f"share/{package_name}", ["package.xml"]),
    ],
    install_requires=["setuptools", "numpy", "rich", "tyro"],
    entry_points={
        "console_scripts": [
            "trainer_node = jack_trainer.trainer_node:main",
            "expert_node = jack_trainer.expert_node:main",
            "recorder_node = jack_trainer.recorder_node:main",
        ]
    },
    zip_safe=False,
    maintainer="Jack maintainers",
    maintainer_email="maintainers@jack-robot.org",
    description="Jack's school: tasks, learning, checkpoints, and the node that trains and publishes.",
    license="Apache-2.0",
)
