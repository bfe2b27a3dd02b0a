from setuptools import find_packages, setup

package_name = "jack_brain"

setup(
    name=package_name,
    version="0.1.0",
    packages=find_packages(exclude=["test"]),
    package_data={package_name: ["py.typed", "pretrained/*"]},
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{package_name}"]),
        (f"share/{package_name}", ["package.xml"]),
        (f"share/{package_name}/launch", ["launch/deploy.launch.py"]),
    ],
    install_requires=["setuptools", "numpy"],
    entry_points={
        "console_scripts": [
            "brain_node = jack_brain.brain_node:main",
            "driver_node = jack_brain.driver_node:main",
        ]
    },
    zip_safe=False,
    maintainer="Jack maintainers",
    maintainer_email="maintainers@jack-robot.org",
    description="The brain: one multimodal transformer and the node that drives the robot with it.",
    license="Apache-2.0",
)
